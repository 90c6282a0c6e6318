"""A model with closed forms instead of networks: what is stored can be computed by hand, and at once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


class Averaging:
    """Latents are the means of 2x2 pixels; a prompt's embedding is made of its letters. 8x8 pixels.

    rounds: whether latents depend, as kernels of real models may, on the shape of the batch and the place in it.
    """

    name = "averaging"
    family = "sd"
    fingerprint = "averaging"
    resolution = 8
    latent_shape = (3, 4, 4)

    def __init__(self, rounds: bool = False) -> None:
        self.rounds = rounds
        vae = SimpleNamespace(dtype=torch.float32, config=SimpleNamespace(force_upcast=True))
        self.pipeline: Any = SimpleNamespace(vae=vae)
        self.batches: list[int] = []  # pictures of each call
        self.prompts: list[str] = []

    def encode_images(self, pixels: Tensor) -> Tensor:
        self.batches.append(len(pixels))
        latents = F.avg_pool2d(pixels, 2)
        if self.rounds:
            latents += 1e-6 * (100 * len(pixels) + torch.arange(len(pixels)).reshape(-1, 1, 1, 1))
        return latents

    def encode_prompts(self, prompts: list[str]) -> dict[str, Tensor]:
        self.prompts += prompts
        digests = [hashlib.sha256(prompt.encode()).digest()[:4] for prompt in prompts]
        return {"prompt_embeds": torch.tensor([list(digest) for digest in digests]).float()}

    def truncated(self, prompts: Sequence[str]) -> list[bool]:
        return [len(prompt.split()) + 2 > 20 for prompt in prompts]
