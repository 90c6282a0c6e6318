"""Stable Diffusion 1.5 and SDXL with random weights, and pair stores for them: what speed needs, and no download."""

from __future__ import annotations

import io
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from PIL import Image
from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from ddecli.data.pairs import Pair
from ddecli.data.prepare import prepare
from ddecli.models.presets import resolve
from ddecli.models.sd import StableDiffusion
from ddecli.models.sdxl import StableDiffusionXL

PAIRS, PROMPTS = 48, 6

# The configurations of stable-diffusion-v1-5 and stable-diffusion-xl-base-1.0 (what is not here is diffusers' default),
# and small ones of the same classes, whose pictures are still larger than the built-in world's.
UNETS: dict[str, dict[str, Any]] = {
    "sd15": {"sample_size": 64, "cross_attention_dim": 768, "attention_head_dim": 8},
    "sdxl": {
        "sample_size": 128,
        "block_out_channels": (320, 640, 1280),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "transformer_layers_per_block": (1, 2, 10),
        "attention_head_dim": (5, 10, 20),
        "cross_attention_dim": 2048,
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 1280 + 6 * 256,
    },
}
SMALL = {
    "sample_size": 16,
    "block_out_channels": (8, 16),
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "attention_head_dim": 4,
}
SMALL_UNETS: dict[str, dict[str, Any]] = {
    "sd15": {
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "cross_attention_dim": 16,
    },
    "sdxl": {
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "transformer_layers_per_block": (1, 2),
        "cross_attention_dim": 32,
        "addition_time_embed_dim": 4,
        "projection_class_embeddings_input_dim": 16 + 6 * 4,
    },
}
VAE: dict[str, Any] = {"block_out_channels": (128, 256, 512, 512), "layers_per_block": 2}
SMALL_VAE = {"block_out_channels": (8, 8, 8, 8), "layers_per_block": 1, "norm_num_groups": 4}
SCHEDULE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}


def make_model(family: str, folder: Path, small: bool, device: torch.device) -> Path:
    """Make a diffusers folder `folder` with a pair store `FOLDER-pairs` beside it, unless they are there."""
    store = folder.with_name(f"{folder.name}-pairs")
    if not store.exists():
        shutil.rmtree(folder, ignore_errors=True)
        pipeline = random_pipeline(family, small, device)
        pipeline.save_pretrained(folder)
        model = {"sd15": RandomSD, "sdxl": RandomSDXL}[family](pipeline, resolve(str(folder)), folder)
        prepare(map(random_pair, range(PAIRS)), model, store, source="random")
    return folder


def random_pipeline(family: str, small: bool, device: torch.device) -> Any:
    """A pipeline of random weights; SDXL's text encoders are as wide as real ones, but of one layer each."""
    torch.manual_seed(0)
    with torch.device(device):
        unet = UNet2DConditionModel(**UNETS[family] | (SMALL | SMALL_UNETS[family] if small else {}))
        vae = AutoencoderKL(
            **(SMALL_VAE if small else VAE),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            sample_size=8 * unet.config.sample_size,
            scaling_factor=0.18215 if family == "sd15" else 0.13025,
        )
    words = tokenizer()
    parts = {
        "unet": unet,
        "vae": vae,
        "scheduler": DDIMScheduler(**SCHEDULE, clip_sample=False),
        "tokenizer": words,
    }
    if family == "sd15":
        parts["text_encoder"] = CLIPTextModel(text_config(words, *((16, 1, 2) if small else (768, 12, 12))))
        return StableDiffusionPipeline(
            **parts, safety_checker=None, feature_extractor=None, requires_safety_checker=False
        )
    first, second = ((16, 1, 2), (16, 1, 2)) if small else ((768, 1, 12), (1280, 1, 20))
    parts["text_encoder"] = CLIPTextModel(text_config(words, *first))
    parts["text_encoder_2"] = CLIPTextModelWithProjection(text_config(words, *second))
    return StableDiffusionXLPipeline(**parts, tokenizer_2=words, add_watermarker=False)


def tokenizer() -> CLIPTokenizer:
    """A tokenizer with a token a letter."""
    letters = sorted(ByteLevel.alphabet())
    entries = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {entry: number for number, entry in enumerate(entries)}
    return CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=77)


def text_config(words: CLIPTokenizer, width: int, layers: int, heads: int) -> CLIPTextConfig:
    """A text encoder's configuration."""
    return CLIPTextConfig(
        vocab_size=len(words),
        hidden_size=width,
        intermediate_size=4 * width,
        projection_dim=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
    )


class RandomEncoders:
    """In place of a model's encoders: latents as wide as trained ones give, and embeddings of the right shapes."""

    def encode_images(self, pixels: torch.Tensor) -> torch.Tensor:
        """Standard normal latents, (N, C, h, w)."""
        return torch.randn(len(pixels), *self.latent_shape)

    def encode_prompts(self, prompts: list[str]) -> dict[str, torch.Tensor]:
        """Standard normal embeddings, by the names the family gives them."""
        config, count = self.unet.config, len(prompts)
        rows = {"prompt_embeds": torch.randn(count, self.max_tokens, config.cross_attention_dim)}
        if self.family == "sdxl":
            pooled = config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim
            rows["pooled_prompt_embeds"] = torch.randn(count, pooled)
        return rows


class RandomSD(RandomEncoders, StableDiffusion):
    """Stable Diffusion with random encodings."""


class RandomSDXL(RandomEncoders, StableDiffusionXL):
    """SDXL with random encodings."""


def random_pair(number: int) -> Pair:
    """A pair of small pictures that no other number gives; there are `PROMPTS` prompts."""
    rng = np.random.default_rng(number)
    pictures = []
    for _ in range(2):
        buffer = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(buffer, "PNG")
        pictures.append(buffer.getvalue())
    return Pair(f"a prompt with number {number % PROMPTS}", *pictures, f"pair-{number}", "random")
