"""Pictures to the pixels that a CLIP sees: transformers' `CLIPImageProcessorPil`, step by step.

The steps are that library's own functions. Its class is not imported, because it brings all that any model could need.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers.image_transforms import (
    center_crop,
    get_resize_output_image_size,
    normalize,
    rescale,
    resize,
)
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD, ChannelDimension

from ddecli.core.files import read_json

FILE = "preprocessor_config.json"
FIRST = ChannelDimension.FIRST
SIDES = {"height", "width"}


@dataclass(frozen=True)
class PictureProcessor:
    """How a picture becomes pixels, by the names of a preprocessor_config.json and with CLIP's defaults.

    size: `shortest_edge` of the resized picture, or its `height` and `width`.
    crop_size: `height` and `width` that are cut out of its middle.
    resample: Pillow's number of a filter.
    """

    size: dict[str, int]
    crop_size: dict[str, int]
    resample: int = Image.Resampling.BICUBIC
    image_mean: tuple[float, ...] = tuple(OPENAI_CLIP_MEAN)
    image_std: tuple[float, ...] = tuple(OPENAI_CLIP_STD)
    rescale_factor: float = 1 / 255
    do_resize: bool = True
    do_center_crop: bool = True
    do_rescale: bool = True
    do_normalize: bool = True

    def __call__(self, image: Image.Image) -> Tensor:
        """An RGB picture to pixels, (3, height, width) float32."""
        pixels = np.moveaxis(np.array(image), -1, 0)
        if self.do_resize:
            size = (self.size.get("height"), self.size.get("width"))
            if "shortest_edge" in self.size:
                size = get_resize_output_image_size(
                    pixels, self.size["shortest_edge"], default_to_square=False, input_data_format=FIRST
                )
            pixels = resize(pixels, size, self.resample, data_format=FIRST, input_data_format=FIRST)
        if self.do_center_crop:
            size = (self.crop_size["height"], self.crop_size["width"])
            pixels = center_crop(pixels, size, data_format=FIRST, input_data_format=FIRST)
        if self.do_rescale:
            pixels = rescale(pixels, self.rescale_factor, data_format=FIRST, input_data_format=FIRST)
        if self.do_normalize:
            mean, std = self.image_mean, self.image_std
            pixels = normalize(pixels, mean, std, data_format=FIRST, input_data_format=FIRST)
        return torch.from_numpy(np.ascontiguousarray(pixels))


def read_processor(folder: Path) -> PictureProcessor:
    """The processor that a folder's preprocessor_config.json describes.

    Raises:
        UserError: the file is missing or damaged.
        ValueError: sizes that are none of a CLIP.
    """
    found = read_json(folder / FILE, dict[str, Any], "fetch it again")
    names = PictureProcessor.__dataclass_fields__.keys() - {"size", "crop_size"}
    own = {name: found[name] for name in names if found.get(name) is not None}
    for name in ("image_mean", "image_std"):
        if isinstance(own.get(name), list):
            own[name] = tuple(own[name])
    size = found.get("size") or 224
    crop = found.get("crop_size") or 224
    size = {"shortest_edge": size} if isinstance(size, int) else size  # as configurations had it once
    crop = {"height": crop, "width": crop} if isinstance(crop, int) else crop
    if (size.keys() != {"shortest_edge"} and size.keys() != SIDES) or crop.keys() != SIDES:
        raise ValueError(f"{folder / FILE} has the size {size} and the crop_size {crop}, which no CLIP has")
    return PictureProcessor(size, crop, **own)
