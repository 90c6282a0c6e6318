"""Diffusion-DPO as the public scripts do it: what ddecli's training is compared with."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import DDPMScheduler
from peft import LoraConfig
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ddecli.data.store import PairStore
from ddecli.models.base import LORA_TARGETS
from ddecli.models.load import load_model
from ddecli.training.optimizers import build_optimizer
from ddecli.training.settings import TrainSettings

HALF = torch.bfloat16


class ScriptPairs(Dataset[dict[str, Any]]):
    """Pairs for a DataLoader: latents and embeddings in memory or, for `encoding`, random pixels and prompts."""

    def __init__(self, store: PairStore, resolution: int, encoding: bool) -> None:
        self.store, self.resolution, self.encoding = store, resolution, encoding
        sides = torch.stack([store.chosen_index, store.rejected_index], dim=1)
        self.latents = store.latents(sides.flatten()).unflatten(0, (-1, 2))
        self.conditioning = store.conditioning(store.prompt_index)

    def __len__(self) -> int:
        return len(self.store)

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not self.encoding:
            rows = {name: value[index] for name, value in self.conditioning.items()}
            return {"latents": self.latents[index]} | rows
        side = self.resolution
        pixels = np.random.default_rng(index).random((2, 3, side, side), dtype=np.float32)
        prompt = self.store.prompt(int(self.store.prompt_index[index]))
        return {"pixels": torch.from_numpy(pixels) * 2 - 1, "prompt": prompt}


class ScriptStep:
    """An optimizer step: a plain DataLoader, policy and reference on the concatenated pairs, gradients accumulated.

    Weights that are trained are float32 and computed with under autocast; the others are held in half precision, as
    the scripts hold them.
    """

    def __init__(self, settings: TrainSettings, device: torch.device, encoding: bool) -> None:
        self.settings, self.device = settings, device
        self.model = load_model(settings.model, device, encoders=encoding)
        self.unet = self.model.unet.train()
        if settings.lora:
            self.unet.requires_grad_(False).to(device, HALF)
            targets = list(LORA_TARGETS)
            self.unet.add_adapter(
                LoraConfig(r=settings.lora, lora_alpha=settings.lora, target_modules=targets)
            )
            self.reference = self.unet
        else:
            self.unet.to(device)
            self.reference = copy.deepcopy(self.unet).requires_grad_(False).to(HALF)
        if settings.gradient_checkpointing:
            self.unet.enable_gradient_checkpointing()
        self.trained = [parameter for parameter in self.unet.parameters() if parameter.requires_grad]
        for parameter in self.trained:
            parameter.data = parameter.data.float()
        self.optimizer = build_optimizer(settings, self.trained, device)
        pipeline = self.model.pipeline
        self.scheduler = DDPMScheduler.from_config(pipeline.scheduler.config)
        for encoder in ("vae", "text_encoder", "text_encoder_2") if encoding else ():
            if hasattr(pipeline, encoder):
                getattr(pipeline, encoder).to(HALF)
        pairs = ScriptPairs(PairStore.open(Path(settings.data or "")), self.model.resolution, encoding)
        self.batches = endless(DataLoader(pairs, settings.micro_batch_size, shuffle=True, drop_last=True))

    def __call__(self) -> None:
        accumulation = self.settings.batch_size // self.settings.micro_batch_size
        for _ in range(accumulation):
            (self.micro_batch_loss() / accumulation).backward()
        torch.nn.utils.clip_grad_norm_(self.trained, self.settings.max_grad_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()

    def micro_batch_loss(self) -> Tensor:
        """Diffusion-DPO's loss of the next pairs, a scalar."""
        latents, conditioning = self.load(next(self.batches))
        half = len(latents) // 2
        noise = torch.randn_like(latents[:half]).repeat(2, 1, 1, 1)
        t = torch.randint(1000, (half,), device=self.device).repeat(2)
        noisy = self.scheduler.add_noise(latents, noise, t)
        policy = self.errors(self.unet, noisy, t, conditioning, noise)
        with torch.no_grad():
            if self.settings.lora:
                self.unet.disable_adapters()
            base = self.errors(self.reference, noisy, t, conditioning, noise)
            if self.settings.lora:
                self.unet.enable_adapters()
        margin = (policy[:half] - policy[half:]) - (base[:half] - base[half:])
        return -F.logsigmoid(-0.5 * self.settings.beta * margin).mean()

    def errors(
        self, unet: Any, noisy: Tensor, t: Tensor, conditioning: dict[str, Any], noise: Tensor
    ) -> Tensor:
        """Noise errors, (2n,)."""
        with torch.autocast(self.device.type, HALF):
            prediction = unet(noisy, t, **conditioning).sample
        return (prediction.float() - noise).pow(2).mean((1, 2, 3))

    def load(self, batch: dict[str, Any]) -> tuple[Tensor, dict[str, Any]]:
        """Latents (2n, C, H, W), all winners first, and what the U-Net is conditioned on."""
        if "pixels" in batch:
            latents = self.model.encode_images(torch.cat(batch["pixels"].unbind(1)))
            rows = self.model.encode_prompts(batch["prompt"])
        else:
            latents = torch.cat(batch.pop("latents").unbind(1)).to(self.device)
            rows = {name: value.to(self.device) for name, value in batch.items()}
        conditioning: dict[str, Any] = {"encoder_hidden_states": rows["prompt_embeds"].repeat(2, 1, 1)}
        if "pooled_prompt_embeds" in rows:
            side = float(self.model.resolution)
            sizes = torch.tensor([[side, side, 0, 0, side, side]], device=self.device).repeat(len(latents), 1)
            pooled = rows["pooled_prompt_embeds"].repeat(2, 1)
            conditioning["added_cond_kwargs"] = {"text_embeds": pooled, "time_ids": sizes}
        return latents, conditioning


def endless(loader: DataLoader[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Epoch after epoch."""
    while True:
        yield from loader
