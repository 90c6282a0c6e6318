"""Pairs of noise in the shapes of a model's own: what a step costs is known before there are data."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from ddecli.data.store import PairStore
from ddecli.models.base import DiffusionModel

PAIRS, PROMPTS = 64, 8


class RandomPairs(PairStore):
    """Takes the place of a pair store, in memory; its numbers mean nothing."""

    def __init__(self, model: DiffusionModel) -> None:
        """Draw them for a model."""
        generator = torch.Generator().manual_seed(0)

        def noise(count: int, shape: tuple[int, ...]) -> Tensor:
            return torch.randn(count, *shape, generator=generator)

        self.folder = Path("pairs of noise")
        self.manifest = {"drawn": {"family": model.family, "resolution": model.resolution}}
        self.prompt_index = torch.arange(PAIRS) % PROMPTS
        self.chosen_index = torch.arange(PAIRS)
        self.rejected_index = PAIRS + torch.arange(PAIRS)
        self.empty_prompt_index = 0
        self.latent_shape = model.latent_shape
        self._resolution = model.resolution
        self._sizes = torch.tensor([[model.resolution, model.resolution, 0, 0]]).repeat(2 * PAIRS, 1)
        self._pictures = noise(2 * PAIRS, model.latent_shape)
        self._prompts = {name: noise(PROMPTS, shape) for name, shape in model.conditioning_shapes.items()}

    def latents(self, image_indices: Tensor) -> Tensor:
        """See `PairStore.latents`."""
        return self._pictures[image_indices]

    def conditioning(self, prompt_indices: Tensor) -> dict[str, Tensor]:
        """See `PairStore.conditioning`."""
        return {name: value[prompt_indices] for name, value in self._prompts.items()}

    @cached_property
    def strengths(self) -> Tensor | None:
        """As if two of three had voted for each chosen picture."""
        return torch.full((PAIRS,), 2 / 3)

    @cached_property
    def noise_seeds(self) -> Tensor | None:
        """Some."""
        return torch.arange(2 * PAIRS).view(PAIRS, 2)
