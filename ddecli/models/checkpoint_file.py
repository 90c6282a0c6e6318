"""A diffusers pipeline as one checkpoint file with the original code's names, which web interfaces take.

The names are those of CompVis's and Stability's repositories; `single_file` reads them. Of the noise schedule such a
file says nothing but whether v is predicted (see `prediction`), so every other schedule than SD's is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from diffusers import DDIMScheduler
from torch import Tensor

from ddecli.core.errors import UserError
from ddecli.models.original_names import original_blocks, original_name
from ddecli.models.prediction import HEADER_KEY, SD2_WIDTH, V_PREDICTION, ZERO_TERMINAL_SNR
from ddecli.models.tensors import in_precision, save_tensors
from ddecli.models.weight_files import UNET

VAE, FIRST_OF_SDXL, SECOND_OF_SDXL = (
    "first_stage_model.",
    "conditioner.embedders.0.",
    "conditioner.embedders.1.",
)
TEXT_ENCODER_OF_SD = "cond_stage_model."
IN_TRANSFORMERS = "text_model."
"""Begins the names in a CLIP text encoder, or, by kind and version of transformers, does not."""
VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
OPEN_CLIP = {
    "layer_norm1": "ln_1", "layer_norm2": "ln_2", "self_attn.out_proj": "attn.out_proj", "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}  # fmt: skip
SCHEDULE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def save_checkpoint_file(pipeline: Any, file: Path, dtype: torch.dtype) -> None:
    """Write a pipeline's U-Net, autoencoder and text encoders to one file.

    Args:
        pipeline: of Stable Diffusion 1 or SDXL, its adapters made part of the weights.
        file: where to.
        dtype: of the numbers in it.

    Raises:
        UserError: what such a file cannot hold, see `check_checkpoint_file`, or numbers beyond the precision.
    """
    check_checkpoint_file(pipeline)
    tensors = {
        name: in_precision(value, dtype, name).contiguous().clone() for name, value in _tensors(pipeline)
    }
    predicts_v = pipeline.scheduler.config.prediction_type == "v_prediction"
    marks = [V_PREDICTION] if predicts_v else []
    marks += [ZERO_TERMINAL_SNR] if pipeline.scheduler.config.get("rescale_betas_zero_snr") else []
    tensors |= {name: torch.zeros(0) for name in marks}
    said = {HEADER_KEY: "v"} if predicts_v else {}
    save_tensors(tensors, file, {"format": "pt"} | said)


def check_checkpoint_file(pipeline: Any) -> None:
    """Refuse a model that programs would take for another one when it is in a single file.

    Raises:
        UserError: a Stable Diffusion 2, or a noise schedule that such a file cannot say.
    """
    way_out = "leave the .safetensors out of --out, and it becomes a diffusers folder"
    if not hasattr(pipeline, "text_encoder_2") and pipeline.unet.config.cross_attention_dim == SD2_WIDTH:
        raise UserError(
            f"A Stable Diffusion 2 has a layer more in a single file than in a folder: {way_out}."
        )
    config = pipeline.scheduler.config
    rescaled = bool(config.get("rescale_betas_zero_snr"))
    usual = DDIMScheduler(**SCHEDULE, rescale_betas_zero_snr=rescaled).alphas_cumprod
    found = pipeline.scheduler.alphas_cumprod
    of_v = config.prediction_type == "v_prediction"
    if (
        not (of_v or (config.prediction_type == "epsilon" and not rescaled))
        or found.shape != usual.shape
        or not torch.allclose(found.double(), usual.double(), atol=1e-6)
    ):
        raise UserError(
            "A single file cannot say this model's noise schedule, or what it predicts, and programs would take "
            f"another one: {way_out}."
        )


def _tensors(pipeline: Any) -> Iterator[tuple[str, Tensor]]:
    blocks = original_blocks(pipeline.unet)
    for name, value in pipeline.unet.state_dict().items():
        yield UNET + original_name(name, blocks), value
    for name, value in pipeline.vae.state_dict().items():
        new = _name_in_vae(name, levels=len(pipeline.vae.config.block_out_channels))
        # attention is made of 1x1 convolutions there
        yield VAE + new, value[..., None, None] if ".attn_1." in new and value.ndim == 2 else value
    is_sdxl = hasattr(pipeline, "text_encoder_2")
    beginning = (FIRST_OF_SDXL if is_sdxl else TEXT_ENCODER_OF_SD) + f"transformer.{IN_TRANSFORMERS}"
    for name, value in pipeline.text_encoder.state_dict().items():
        yield beginning + name.removeprefix(IN_TRANSFORMERS), value
    if is_sdxl:
        encoder = pipeline.text_encoder_2.state_dict()
        for name, value in _open_clip({k.removeprefix(IN_TRANSFORMERS): v for k, v in encoder.items()}):
            yield f"{SECOND_OF_SDXL}model.{name}", value


def _name_in_vae(name: str, levels: int) -> str:
    """The decoder's blocks are numbered from the other end there."""
    name = name.replace("conv_shortcut", "nin_shortcut").replace("conv_norm_out", "norm_out")
    name = re.sub(r"down_blocks\.(\d+)\.resnets", r"down.\1.block", name)
    name = re.sub(r"down_blocks\.(\d+)\.downsamplers\.0", r"down.\1.downsample", name)
    name = re.sub(r"up_blocks\.(\d+)\.resnets", lambda at: f"up.{levels - 1 - int(at[1])}.block", name)
    name = re.sub(
        r"up_blocks\.(\d+)\.upsamplers\.0", lambda at: f"up.{levels - 1 - int(at[1])}.upsample", name
    )
    name = re.sub(r"mid_block\.resnets\.(\d+)", lambda at: f"mid.block_{int(at[1]) + 1}", name)
    before, attention, rest = name.partition("mid_block.attentions.0.")
    if not attention:
        return name
    module, _, kind = rest.rpartition(".")
    return f"{before}mid.attn_1.{VAE_ATTENTION[module]}.{kind}"


def _open_clip(encoder: dict[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """A CLIP text encoder with a projection as open_clip names it, which keeps the three projections as one."""
    yield "positional_embedding", encoder["embeddings.position_embedding.weight"]
    yield "token_embedding.weight", encoder["embeddings.token_embedding.weight"]
    yield "text_projection", encoder["text_projection.weight"].T
    for kind in ("weight", "bias"):
        yield f"ln_final.{kind}", encoder[f"final_layer_norm.{kind}"]
    for layer in sorted({name.split(".")[2] for name in encoder if name.startswith("encoder.layers.")}):
        old, new = f"encoder.layers.{layer}.", f"transformer.resblocks.{layer}."
        for kind in ("weight", "bias"):
            projections = [encoder[f"{old}self_attn.{which}_proj.{kind}"] for which in "qkv"]
            yield f"{new}attn.in_proj_{kind}", torch.cat(projections)
            for own, theirs in OPEN_CLIP.items():
                yield f"{new}{theirs}.{kind}", encoder[f"{old}{own}.{kind}"]
