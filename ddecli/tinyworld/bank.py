"""A bank of drawn scenes: made once, kept in memory as bytes, sampled by training steps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ddecli.core.console import progress
from ddecli.core.seeds import numpy_rng
from ddecli.tinyworld.drawing import draw
from ddecli.tinyworld.scenes import Scene, random_scene


@dataclass(frozen=True)
class Bank:
    """`N` scenes and their pictures, (N, 3, 32, 32) uint8."""

    scenes: list[Scene]
    pictures: Tensor

    def __len__(self) -> int:
        return len(self.scenes)

    def pixels(self, indices: Tensor | np.ndarray) -> Tensor:
        """Pictures of these indices as floats in [-1, 1], (n, 3, 32, 32)."""
        return to_pixels(self.pictures[torch.as_tensor(indices)])


def to_pixels(pictures: Tensor) -> Tensor:
    """uint8 pictures (N, 3, H, W) to floats in [-1, 1]."""
    return pictures.float() / 127.5 - 1


def make_bank(name: str, size: int, flawed: bool = True, split: str | None = "train") -> Bank:
    """Draw `size` scenes; banks of different names share no scene's seed."""
    rng = numpy_rng("bank", name)
    return draw_bank(name, [random_scene(rng, split, flawed) for _ in range(size)])


def draw_bank(name: str, scenes: list[Scene]) -> Bank:
    """Draw these scenes; `name` is shown."""
    pictures = np.empty((len(scenes), 32, 32, 3), np.uint8)
    with progress(f"drawing scenes ({name})", len(scenes), unit="scene") as advance:
        for index, scene in enumerate(scenes):
            pictures[index] = draw(scene)
            advance()
    return Bank(scenes, torch.from_numpy(pictures).permute(0, 3, 1, 2).contiguous())


def batch_indices(name: str, step: int, size: int, batch_size: int) -> np.ndarray:
    """Which of `size` items training step `step` uses; a function of its arguments alone."""
    return numpy_rng("batch", name, step).integers(size, size=batch_size)
