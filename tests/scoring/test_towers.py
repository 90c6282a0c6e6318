"""Our CLIP and its preprocessing give transformers' own numbers, to the last bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel

from ddecli.scoring.pixels import PictureProcessor, read_processor
from ddecli.scoring.published import WORLD_WEIGHTS
from ddecli.scoring.towers import clip_of, load_clip


def assert_same_features(folder: Path) -> None:
    """Of pictures, and of prompts with and without padding, one and several at once."""
    theirs = CLIPModel.from_pretrained(folder, dtype=torch.float32).eval()
    ours = load_clip(folder)
    text, vision = theirs.config.text_config, theirs.config.vision_config
    generator = torch.Generator().manual_seed(0)
    with torch.inference_mode():
        for count in (1, 5):
            pixels = torch.randn(count, 3, vision.image_size, vision.image_size, generator=generator)
            expected = theirs.get_image_features(pixel_values=pixels).pooler_output
            assert torch.equal(ours.picture_features(pixels), expected)
            tokens = torch.randint(3, text.vocab_size - 2, (count, 9), generator=generator)
            tokens[:, -1] = text.vocab_size - 1 if text.eos_token_id == 2 else text.eos_token_id
            for padding in (0, 3):
                there = torch.ones_like(tokens)
                there[0, len(there[0]) - padding :] = 0
                tokens[0, len(there[0]) - padding - 1] = tokens[-1, -1]
                expected = theirs.get_text_features(input_ids=tokens, attention_mask=there).pooler_output
                assert torch.equal(ours.prompt_features(tokens, there), expected)


@pytest.mark.parametrize("metric", ["clip", "hps", "pickscore"])
def test_the_world_s_scorers(metric: str) -> None:
    assert_same_features(WORLD_WEIGHTS / metric)


@pytest.mark.parametrize(
    ("activation", "end", "shard"),
    [("gelu", 98, "1GB"), ("quick_gelu", 2, "1GB"), ("gelu_new", 98, "10KB")],
)
def test_other_activations_end_tokens_and_weights_in_pieces(
    activation: str, end: int, shard: str, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    tower: dict[str, Any] = {
        "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
        "hidden_act": activation, "projection_dim": 16,
    }  # fmt: skip
    config = CLIPConfig(
        text_config=tower | {"vocab_size": 99, "max_position_embeddings": 12, "eos_token_id": end},
        vision_config=tower | {"image_size": 24, "patch_size": 8, "layer_norm_eps": 1e-3},
        projection_dim=16,
    )
    model = CLIPModel(config)
    for parameter in model.parameters():  # what begins as 0 or 1 is to matter too
        torch.nn.init.normal_(parameter, std=0.3)
    model.half().save_pretrained(tmp_path, max_shard_size=shard)
    assert (tmp_path / "model.safetensors.index.json").exists() == (shard == "10KB")
    assert_same_features(tmp_path)


def test_what_is_missing_and_what_is_too_much(scorer_folder: Path) -> None:
    state = load_clip(scorer_folder).state_dict()
    state["more"] = state.pop("logit_scale")
    _, missing, others = clip_of(CLIPConfig.from_pretrained(scorer_folder), state)
    assert (missing, others) == (["logit_scale"], ["more"])


SIZES = [(32, 32), (64, 48), (31, 77), (512, 512), (1, 1), (3, 200), (33, 32)]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {
            "size": {"shortest_edge": 32},
            "crop_size": {"height": 32, "width": 32},
            "image_mean": [0.5, 0.5, 0.5],
        },
        {"size": {"height": 40, "width": 20}, "crop_size": {"height": 30, "width": 20}, "resample": 2},
        {"do_resize": False, "crop_size": 48, "do_rescale": False},
        {"size": 50, "do_center_crop": False, "do_normalize": False},
    ],
)
def test_pixels(settings: dict[str, Any], tmp_path: Path) -> None:
    theirs = CLIPImageProcessorPil(**settings)
    theirs.save_pretrained(tmp_path)
    ours = read_processor(tmp_path)
    assert isinstance(ours, PictureProcessor)
    rng = np.random.default_rng(0)
    for width, height in SIZES:
        image = Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
        expected = theirs(image, return_tensors="pt").pixel_values[0]
        found = ours(image)
        assert found.dtype == expected.dtype and torch.equal(found, expected)


def test_a_size_that_no_clip_has(tmp_path: Path) -> None:
    CLIPImageProcessorPil(size={"longest_edge": 32}).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="which no CLIP has"):
        read_processor(tmp_path)
