"""Small random models of the real classes, for tests that need no trained weights."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DiffusionPipeline,
    PNDMScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from tokenizers.pre_tokenizers import ByteLevel
from transformers import (
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    ResNetConfig,
    ResNetForImageClassification,
)

from ddecli.models.base import DiffusionModel
from ddecli.models.load import FAMILY_CLASSES
from ddecli.models.presets import FAMILIES, ModelSource

WORDS = ("a", "red", "green", "blue", "circle", "square", "star", "on", "white")
MAX_TOKENS = 16
CLASSES = 36


def tokenizer() -> CLIPTokenizer:
    """A byte-level BPE tokenizer that knows every byte and merges a few words."""
    alphabet = sorted(ByteLevel.alphabet())
    tokens = [*alphabet, *(letter + "</w>" for letter in alphabet)]
    merges = []
    for word in WORDS:
        pieces = [*word[:-1], word[-1] + "</w>"]
        while len(pieces) > 1:
            merge = (pieces[0], pieces[1])
            if merge not in merges:
                merges.append(merge)
                tokens.append("".join(merge))
            pieces = ["".join(merge), *pieces[2:]]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    vocab = {token: number for number, token in enumerate(dict.fromkeys(tokens))}
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=MAX_TOKENS)


def _text_config(words: CLIPTokenizer, projection: int = 16) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=len(words),
        hidden_size=16,
        intermediate_size=32,
        projection_dim=projection,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=MAX_TOKENS,
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
    )


def _vae() -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(8, 16, 16),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=1,
        norm_num_groups=4,
        sample_size=32,
        force_upcast=False,
    )


def _unet(**kwargs: object) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        norm_num_groups=4,
        attention_head_dim=8,
        **kwargs,
    )


SCHEDULE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}


def sd_pipeline(seed: int = 0) -> StableDiffusionPipeline:
    """A random Stable Diffusion pipeline: 32x32 pixels, 4x8x8 latents."""
    torch.manual_seed(seed)
    words = tokenizer()
    pipeline = StableDiffusionPipeline(
        vae=_vae(),
        text_encoder=CLIPTextModel(_text_config(words)),
        tokenizer=words,
        unet=_unet(cross_attention_dim=16),
        scheduler=PNDMScheduler(**SCHEDULE, skip_prk_steps=True),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def sdxl_pipeline(seed: int = 0) -> StableDiffusionXLPipeline:
    """A random SDXL pipeline: two text encoders, time ids, 32x32 pixels, 4x8x8 latents."""
    torch.manual_seed(seed)
    words = tokenizer()
    pipeline = StableDiffusionXLPipeline(
        vae=_vae(),
        text_encoder=CLIPTextModel(_text_config(words)),
        text_encoder_2=CLIPTextModelWithProjection(_text_config(words, projection=8)),
        tokenizer=words,
        tokenizer_2=words,
        unet=_unet(
            cross_attention_dim=32,
            addition_embed_type="text_time",
            addition_time_embed_dim=4,
            projection_class_embeddings_input_dim=8 + 6 * 4,
        ),
        scheduler=DDIMScheduler(**SCHEDULE, clip_sample=False),
        add_watermarker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def told_apart(sdxl: StableDiffusionXLPipeline) -> StableDiffusionXLPipeline:
    """Give the second text encoder of `sdxl_pipeline` another width than the first, as those of real models have."""
    config = sdxl.text_encoder_2.config
    config.hidden_size = 24
    unet = _unet(
        cross_attention_dim=16 + 24,
        addition_embed_type="text_time",
        addition_time_embed_dim=4,
        projection_class_embeddings_input_dim=8 + 6 * 4,
    )
    sdxl.register_modules(text_encoder_2=CLIPTextModelWithProjection(config), unet=unet)
    return sdxl


def save_clip(folder: Path, seed: int = 0) -> Path:
    """Save a random CLIP model (32x32 pixels) with tokenizer and image processor, in half precision."""
    torch.manual_seed(seed)
    words = tokenizer()
    config = CLIPConfig(
        text_config=_text_config(words).to_dict(),
        vision_config={
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 32,
            "patch_size": 8,
        },
        projection_dim=16,
    )
    CLIPModel(config).half().save_pretrained(folder)
    words.save_pretrained(folder)
    size = {"height": 32, "width": 32}
    CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=size).save_pretrained(folder)
    return folder


def save_classifier(folder: Path, seed: int = 0) -> Path:
    """Save a random convolutional classifier of 36 classes."""
    torch.manual_seed(seed)
    config = ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], num_labels=CLASSES, layer_type="basic"
    )
    model = ResNetForImageClassification(config)
    torch.nn.init.normal_(
        model.classifier[1].weight, std=2.0
    )  # so that classes differ plainly between pictures
    model.save_pretrained(folder)
    return folder


def model_of(pipeline: DiffusionPipeline, name: str = "x") -> DiffusionModel:
    """A pipeline as the model that loading it gives; it lies in no folder."""
    source = ModelSource(name, "", family=None, resolution=None)
    return FAMILY_CLASSES[FAMILIES[type(pipeline).__name__]](pipeline, source, Path())
