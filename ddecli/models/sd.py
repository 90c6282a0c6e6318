"""Stable Diffusion 1.x and 2.x: one text encoder, cross-attention on its last hidden states."""

from __future__ import annotations

import torch
from torch import Tensor

from ddecli.models.base import Conditioning, DiffusionModel


class StableDiffusion(DiffusionModel):
    """`StableDiffusionPipeline`'s parts."""

    family = "sd"
    guidance_scale = 7.5

    @torch.no_grad()
    def encode_prompts(self, prompts: list[str]) -> Conditioning:
        """{"prompt_embeds": (N, L, E)} float32."""
        embeds, _ = self.pipeline.encode_prompt(
            prompts,
            self.pipeline.text_encoder.device,
            num_images_per_prompt=1,
            do_classifier_free_guidance=False,
        )
        return {"prompt_embeds": embeds.float()}

    @property
    def conditioning_shapes(self) -> dict[str, tuple[int, ...]]:
        """See `DiffusionModel.conditioning_shapes`."""
        return {"prompt_embeds": (self.max_tokens, self.unet.config.cross_attention_dim)}

    def predict(self, latents: Tensor, t: Tensor, conditioning: Conditioning, sizes: Tensor) -> Tensor:
        """See `DiffusionModel.predict`; `sizes` is not used."""
        return self.unet(latents, t, conditioning["prompt_embeds"]).sample
