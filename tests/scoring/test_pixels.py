"""The quick preprocessing gives what the image processor of transformers gives, to the last bit."""

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPImageProcessorPil

from ddecli.scoring.pixels import Preprocessing
from ddecli.scoring.published import scorer_source

SMALL = {"height": 32, "width": 32}
PROCESSORS = {
    "CLIP's": CLIPImageProcessorPil(),
    "of the tiny world": CLIPImageProcessorPil.from_pretrained(scorer_source("clip", "tiny").location),
    "both sides": CLIPImageProcessorPil(
        size={"height": 41, "width": 50}, crop_size={"height": 32, "width": 37}, resample=2
    ),
    "crop of an odd rest": CLIPImageProcessorPil(size={"shortest_edge": 37}, crop_size=SMALL),
    "crop larger than the picture": CLIPImageProcessorPil(size={"shortest_edge": 20}, crop_size=SMALL),
    "one mean": CLIPImageProcessorPil(image_mean=0.3, image_std=0.2),
    "not cropped": CLIPImageProcessorPil(do_center_crop=False),
    "not normalised": CLIPImageProcessorPil(do_normalize=False),
}
SIZES = [(8, 8), (32, 32), (224, 224), (224, 300), (9, 35), (131, 64), (300, 299), (97, 388)]


@pytest.mark.parametrize("name", PROCESSORS)
def test_pixels_are_those_of_the_image_processor(name: str) -> None:
    processor, rng = PROCESSORS[name], np.random.default_rng(0)
    quick = Preprocessing(processor)
    for width, height in SIZES:
        image = Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
        expected = processor(image, return_tensors="pt").pixel_values[0]
        found = quick(image)
        assert found.dtype == torch.float32
        assert torch.equal(found, expected)


def test_the_image_processor_is_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = Preprocessing(PROCESSORS["CLIP's"])
    monkeypatch.setattr(CLIPImageProcessorPil, "__call__", None)
    assert quick(Image.new("RGB", (300, 200))).shape == (3, 224, 224)
