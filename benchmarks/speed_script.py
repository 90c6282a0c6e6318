"""A training step of the built-in world's tiny model as the public Diffusion-DPO scripts make it."""

from __future__ import annotations

import copy
import io

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from ddecli.data.pairs import Pair
from ddecli.models.load import load_for_sampling


class ScriptStep:
    """A training step as the public scripts do it: a second U-Net, gradients accumulated, nothing kept.

    Args:
        cached: whether latents and text states are made once, before.
    """

    def __init__(self, pairs: list[Pair], micro_batch: int, cached: bool = False) -> None:
        self.pipeline = load_for_sampling("tiny").pipeline
        self.reference = copy.deepcopy(self.pipeline.unet).requires_grad_(False)
        self.optimizer = torch.optim.AdamW(self.pipeline.unet.parameters(), lr=1e-5)
        self.pairs, self.micro_batch = pairs, micro_batch
        starts = range(0, len(pairs), micro_batch)
        self.cached = (
            {start: self.load(pairs[start : start + micro_batch]) for start in starts} if cached else {}
        )

    @torch.no_grad()
    def load(self, pairs: list[Pair]) -> tuple[torch.Tensor, torch.Tensor]:
        """Decode and encode pairs: latents (2n, C, H, W) and text states (2n, L, E)."""
        files = [pair.chosen for pair in pairs] + [pair.rejected for pair in pairs]
        latents = self.encode(files)
        return latents, self.states([pair.prompt for pair in pairs]).repeat(2, 1, 1)

    @torch.no_grad()
    def encode(self, files: list[bytes]) -> torch.Tensor:
        """Latents of pictures, (n, C, H, W)."""
        arrays = [np.asarray(Image.open(io.BytesIO(file)).convert("RGB")) for file in files]
        pixels = torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).float() / 127.5 - 1
        vae = self.pipeline.vae
        return vae.encode(pixels).latent_dist.sample() * vae.config.scaling_factor

    @torch.no_grad()
    def states(self, prompts: list[str]) -> torch.Tensor:
        """Text states of prompts, (n, L, E)."""
        words = self.pipeline.tokenizer(prompts, padding="max_length", truncation=True, return_tensors="pt")
        return self.pipeline.text_encoder(words.input_ids)[0]

    def __call__(self) -> None:
        unet, scheduler = self.pipeline.unet, self.pipeline.scheduler
        for start in range(0, len(self.pairs), self.micro_batch):
            found = self.cached.get(start) or self.load(self.pairs[start : start + self.micro_batch])
            latents, states = found
            half = len(latents) // 2
            noise, t = (
                torch.randn_like(latents[:half]).repeat(2, 1, 1, 1),
                torch.randint(1000, (half,)).repeat(2),
            )
            noisy = scheduler.add_noise(latents, noise, t)
            errors = (unet(noisy, t, states).sample - noise).pow(2).mean((1, 2, 3))
            with torch.no_grad():
                base = (self.reference(noisy, t, states).sample - noise).pow(2).mean((1, 2, 3))
            margin = (errors[:half] - errors[half:]) - (base[:half] - base[half:])
            (-F.logsigmoid(-2500 * margin).sum() / len(self.pairs)).backward()
        torch.nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
