"""What CLIP's image processor makes of a picture, to the last bit, at a tenth of its cost for a small one.

The processor of transformers checks its settings anew for every picture, and takes it from Pillow to NumPy and
back before it resizes. Here Pillow resizes what is there; what a byte becomes, the processor is asked once.
"""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import CLIPImageProcessorPil


class Preprocessing:
    """A picture to the pixels that a CLIP takes, as its image processor says."""

    def __init__(self, processor: CLIPImageProcessorPil) -> None:
        self.processor = processor
        self._numbers = _numbers_of_bytes(processor) if _is_usual(processor) else None

    def __call__(self, image: Image.Image) -> Tensor:
        """An RGB picture to (3, height, width) float32."""
        crop = self.processor.crop_size
        if self._numbers is not None:
            resized = _resized_size(image, self.processor)
            left, top = (resized[0] - crop.width) // 2, (resized[1] - crop.height) // 2
            if min(left, top) >= 0:
                box = (left, top, left + crop.width, top + crop.height)
                return self._cropped(image, resized, box)
        return self.processor(image, return_tensors="pt").pixel_values[0]

    def _cropped(
        self, image: Image.Image, resized: tuple[int, int], box: tuple[int, int, int, int]
    ) -> Tensor:
        assert self._numbers is not None
        if image.size != resized:
            image = image.resize(resized, Image.Resampling(self.processor.resample))
        if box != (0, 0, *image.size):
            image = image.crop(box)
        square = np.asarray(image)
        pixels = np.empty((3, *square.shape[:2]), dtype=np.float32)
        for channel, numbers in enumerate(self._numbers):
            np.take(numbers, square[..., channel], out=pixels[channel], mode="clip")  # "raise" would copy
        return torch.from_numpy(pixels)


def _is_usual(processor: CLIPImageProcessorPil) -> bool:
    """Whether it does what CLIP's does, with whatever numbers: resize, crop, rescale, normalise."""
    size = processor.size
    asked = (
        processor.do_resize,
        processor.do_center_crop,
        processor.do_rescale,
        processor.do_normalize,
        not processor.do_pad,
        not size.longest_edge,
        size.shortest_edge or (size.height and size.width),
    )
    return type(processor) is CLIPImageProcessorPil and all(asked)


def _resized_size(image: Image.Image, processor: CLIPImageProcessorPil) -> tuple[int, int]:
    """Width and height that a picture is resized to."""
    shortest = processor.size.shortest_edge
    if not shortest:
        return processor.size.width, processor.size.height
    if image.width <= image.height:
        return shortest, int(shortest * image.height / image.width)
    return int(shortest * image.width / image.height), shortest


def _numbers_of_bytes(processor: CLIPImageProcessorPil) -> np.ndarray:
    """What each of 256 values becomes in each channel, (3, 256) float32."""
    values = np.tile(np.arange(256, dtype=np.uint8), (3, 1, 1))
    scaled = processor.rescale(values, processor.rescale_factor)
    return np.ascontiguousarray(processor.normalize(scaled, processor.image_mean, processor.image_std)[:, 0])
