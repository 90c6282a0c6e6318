"""SDXL: two text encoders, a pooled embedding and size conditioning (Podell et al. 2023)."""

from __future__ import annotations

import torch
from torch import Tensor

from ddecli.models.base import Conditioning, DiffusionModel


class StableDiffusionXL(DiffusionModel):
    """`StableDiffusionXLPipeline`'s parts."""

    family = "sdxl"
    guidance_scale = 5.0

    @torch.no_grad()
    def encode_prompts(self, prompts: list[str]) -> Conditioning:
        """{"prompt_embeds": (N, L, E), "pooled_prompt_embeds": (N, P)} float32."""
        embeds, _, pooled, _ = self.pipeline.encode_prompt(
            prompts,
            device=self.pipeline.text_encoder.device,
            num_images_per_prompt=1,
            do_classifier_free_guidance=False,
        )
        return {"prompt_embeds": embeds.float(), "pooled_prompt_embeds": pooled.float()}

    @property
    def conditioning_shapes(self) -> dict[str, tuple[int, ...]]:
        """See `DiffusionModel.conditioning_shapes`; the pooled embedding goes with six numbers of sizes."""
        config = self.unet.config
        pooled = config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim
        return {
            "prompt_embeds": (self.max_tokens, config.cross_attention_dim),
            "pooled_prompt_embeds": (pooled,),
        }

    def predict(self, latents: Tensor, t: Tensor, conditioning: Conditioning, sizes: Tensor) -> Tensor:
        """See `DiffusionModel.predict`."""
        added = {"text_embeds": conditioning["pooled_prompt_embeds"], "time_ids": sizes.to(latents.dtype)}
        return self.unet(latents, t, conditioning["prompt_embeds"], added_cond_kwargs=added).sample
