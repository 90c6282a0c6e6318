"""The world's two diffusion models, pretrained on flawed scenes: `tiny` (as SD 1.5) and `tiny-xl` (as SDXL)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from torch import Tensor, nn
from torch.nn import functional
from transformers import (
    CLIPModel,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
)

from ddecli.core.seeds import numpy_rng, torch_generator
from ddecli.core.world import TINY, WORLD_KEY
from ddecli.tinyworld.autoencoder import LATENT_CHANNELS
from ddecli.tinyworld.bank import Bank, batch_indices
from ddecli.tinyworld.drawing import RESOLUTION
from ddecli.tinyworld.fit import fit
from ddecli.tinyworld.scenes import caption
from ddecli.tinyworld.tokenizer import MAX_TOKENS

BATCH_SIZE = 64
PROMPT_DROPOUT = 0.1
TEXT_WIDTH = 64
LATENT_SIZE = 8
CHANNELS = (48, 80)
WEIGHT_LIMITS = (50.0, 30.0)
"""Of `loss_weights`, in the first part of a training and in the rest."""
EARLY_SHARE = 0.6


def new_scheduler() -> DDIMScheduler:
    """Stable Diffusion's noise schedule."""
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


def text_tower(clip: CLIPModel) -> CLIPTextModel:
    """The world's CLIP's text side; as in SD 1.5 it is the model's text encoder, and stays as it is."""
    tower = CLIPTextModel(clip.config.text_config)
    tower.load_state_dict(clip.text_model.state_dict())
    return tower.requires_grad_(False).eval()


def pooled_text_tower(clip: CLIPModel) -> CLIPTextModelWithProjection:
    """The same with its projection, which gives SDXL's U-Net the pooled text."""
    tower = CLIPTextModelWithProjection(clip.config.text_config)
    tower.text_model.load_state_dict(clip.text_model.state_dict())
    tower.text_projection.load_state_dict(clip.text_projection.state_dict())
    return tower.requires_grad_(False).eval()


def new_unet(text_width: int, **extra: object) -> UNet2DConditionModel:
    """An untrained U-Net for 8 x 8 latents with cross-attention at 4 x 4."""
    return UNet2DConditionModel(
        sample_size=LATENT_SIZE,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        block_out_channels=CHANNELS,
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=text_width,
        attention_head_dim=4,
        norm_num_groups=8,
        **extra,
    )


class Denoiser(nn.Module):
    """A U-Net and its frozen text encoder; `tiny-xl` has a second text encoder with a pooled output."""

    def __init__(
        self,
        unet: UNet2DConditionModel,
        text_encoder: CLIPTextModel,
        text_encoder_2: CLIPTextModelWithProjection | None = None,
    ) -> None:
        super().__init__()
        self.unet, self.text_encoder, self.text_encoder_2 = unet, text_encoder, text_encoder_2

    def forward(self, noisy: Tensor, t: Tensor, token_ids: Tensor) -> Tensor:
        """Predicted noise (N, C, H, W) from noisy latents, timesteps (N,) and token ids (N, L)."""
        with torch.no_grad():
            first = self.text_encoder(token_ids, output_hidden_states=True)
        if self.text_encoder_2 is None:
            return self.unet(noisy, t, first.last_hidden_state).sample
        with torch.no_grad():
            second = self.text_encoder_2(token_ids, output_hidden_states=True)
        states = torch.cat([first.hidden_states[-2], second.hidden_states[-2]], dim=-1)
        size = torch.tensor([RESOLUTION, RESOLUTION, 0, 0, RESOLUTION, RESOLUTION]).repeat(len(t), 1)
        added = {"text_embeds": second.text_embeds, "time_ids": size}
        return self.unet(noisy, t, states, added_cond_kwargs=added).sample


def loss_weights(alphas_cumprod: Tensor, limit: float) -> Tensor:
    """min(1 / alphas_cumprod, limit) with mean 1, (T,): the error of the clean latents up to a signal-to-noise ratio.

    What a caption says decides where a picture is unknown, near noise; there the error of the noise, whose weight
    is 1 at every timestep, is next to nothing, and captions go unheard.
    """
    weights = (1 / alphas_cumprod).clamp(max=limit)
    return weights / weights.mean()


def pretrain(
    name: str,
    denoiser: Denoiser,
    tokenizer: CLIPTokenizer,
    bank: Bank,
    latents: Tensor,
    steps: int,
    learning_rate: float,
    folder: Path,
) -> None:
    """Train noise prediction (Ho et al. 2020) in place on cached latents (N, C, H, W), weighted by `loss_weights`.

    First places and relations are learned, near noise; then the limit falls and shapes get more of the training.
    """
    scheduler = new_scheduler()
    timesteps = scheduler.config["num_train_timesteps"]
    early, late = (loss_weights(scheduler.alphas_cumprod, limit) for limit in WEIGHT_LIMITS)

    def loss_of_step(step: int) -> Tensor:
        indices = batch_indices(name, step, len(bank), BATCH_SIZE)
        rng = numpy_rng(name, "captions", step)
        texts = [caption(bank.scenes[index].description, rng) for index in indices]
        dropped = rng.random(BATCH_SIZE) < PROMPT_DROPOUT
        texts = ["" if drop else text for text, drop in zip(texts, dropped, strict=True)]
        tokens = tokenizer(
            texts, padding="max_length", truncation=True, max_length=MAX_TOKENS, return_tensors="pt"
        )
        generator = torch_generator(name, "noise", step)
        # One draw from each of BATCH_SIZE equal parts of the timesteps: the same law, less variance.
        shares = (torch.arange(BATCH_SIZE) + torch.rand(BATCH_SIZE, generator=generator)) / BATCH_SIZE
        t = (shares * timesteps).long()
        clean = latents[torch.as_tensor(indices)]
        eps = torch.randn(clean.shape, generator=generator)
        noisy = scheduler.add_noise(clean, eps, t).contiguous(memory_format=torch.channels_last)
        errors = (denoiser(noisy, t, tokens.input_ids) - eps).pow(2).mean(dim=(1, 2, 3))
        weights = early if step < EARLY_SHARE * steps else late
        return (weights[t] * errors).mean()

    fit(
        name, denoiser, loss_of_step, steps=steps, learning_rate=learning_rate, folder=folder, ema_decay=0.999
    )


def new_tiny(clip: CLIPModel) -> Denoiser:
    """The parts of `tiny` before its training."""
    torch.manual_seed(2)
    return Denoiser(new_unet(TEXT_WIDTH), text_tower(clip))


def new_tiny_xl(tiny: Denoiser, clip: CLIPModel) -> Denoiser:
    """The parts of `tiny-xl` before its training.

    As SDXL it reads the states before the last layer of two text encoders, and the pooled text of the second.
    SDXL's are of two CLIPs; the world has one. To save hours the U-Net starts from tiny's weights: the second
    encoder's columns of the cross-attention start at zero.
    """
    torch.manual_seed(3)
    time_width = 8
    unet = new_unet(
        2 * TEXT_WIDTH,
        addition_embed_type="text_time",
        addition_time_embed_dim=time_width,
        projection_class_embeddings_input_dim=6 * time_width + TEXT_WIDTH,
    )
    state = unet.state_dict()
    for key, value in tiny.unet.state_dict().items():
        if state[key].shape != value.shape:
            value = functional.pad(value, (0, state[key].shape[1] - value.shape[1]))
        state[key] = value
    unet.load_state_dict(state)
    return Denoiser(unet, text_tower(clip), pooled_text_tower(clip))


def save_tiny(denoiser: Denoiser, autoencoder: AutoencoderKL, tokenizer: CLIPTokenizer, folder: Path) -> None:
    """Write `tiny` as a diffusers pipeline in half precision."""
    pipeline = StableDiffusionPipeline(
        vae=autoencoder,
        text_encoder=denoiser.text_encoder,
        tokenizer=tokenizer,
        unet=denoiser.unet,
        scheduler=new_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    _save(pipeline, folder)


def save_tiny_xl(
    denoiser: Denoiser, autoencoder: AutoencoderKL, tokenizer: CLIPTokenizer, folder: Path
) -> None:
    """Write `tiny-xl` as a diffusers pipeline in half precision."""
    pipeline = StableDiffusionXLPipeline(
        vae=autoencoder,
        text_encoder=denoiser.text_encoder,
        text_encoder_2=denoiser.text_encoder_2,
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=denoiser.unet,
        scheduler=new_scheduler(),
        force_zeros_for_empty_prompt=False,
        add_watermarker=False,
    )
    _save(pipeline, folder)


def _save(pipeline: Any, folder: Path) -> None:
    pipeline.register_to_config(**{WORLD_KEY: TINY})
    pipeline.to(dtype=torch.float16).save_pretrained(folder)
