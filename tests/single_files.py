"""A diffusers pipeline as one checkpoint file with the names of the original repositories (CompVis, Stability)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

State = dict[str, Tensor]
RESNET = {
    "norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "norm2": "out_layers.0",
    "conv2": "out_layers.3", "conv_shortcut": "skip_connection",
}  # fmt: skip
UNET = {
    "time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0", "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0", "conv_norm_out": "out.0", "conv_out": "out.2",
}  # fmt: skip
VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
OPEN_CLIP = {
    "layer_norm1": "ln_1", "layer_norm2": "ln_2", "self_attn.out_proj": "attn.out_proj", "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}  # fmt: skip


def save_single_file(pipeline: Any, file: Path, **extra: Tensor) -> Path:
    """Write a pipeline of one layer a block to one file; `extra` tensors are added under their own names."""
    state = {f"model.diffusion_model.{key}": value for key, value in _unet(pipeline.unet).items()}
    state |= {f"first_stage_model.{key}": value for key, value in _vae(pipeline.vae.state_dict()).items()}
    first = {f"transformer.text_model.{key}": v for key, v in pipeline.text_encoder.state_dict().items()}
    if hasattr(pipeline, "text_encoder_2"):
        second = _open_clip(pipeline.text_encoder_2.state_dict())
        state |= {f"conditioner.embedders.0.{key}": value for key, value in first.items()}
        state |= {f"conditioner.embedders.1.model.{key}": value for key, value in second.items()}
    else:
        state |= {f"cond_stage_model.{key}": value for key, value in first.items()}
    save_file({key: value.contiguous() for key, value in (state | extra).items()}, file)
    return file


def _renamed(key: str, names: dict[str, str]) -> str:
    old = next(old for old in names if key.startswith(f"{old}."))
    return names[old] + key.removeprefix(old)


def _unet(unet: Any) -> State:
    blocks = len(unet.config.block_out_channels)
    state = {}
    for key, value in unet.state_dict().items():
        if not (found := re.match(r"(down|up|mid)_block(?:s\.(\d))?\.(\w+)\.(\d)\.(.+)", key)):
            state[_renamed(key, UNET)] = value
            continue
        side, block, part, layer, rest = found.group(1), int(found.group(2) or 0), *found.group(3, 4, 5)
        if part == "resnets":
            rest = _renamed(rest, RESNET)
        if side == "mid":
            place = "middle_block.1" if part == "attentions" else f"middle_block.{2 * int(layer)}"
        elif side == "down":
            downsampler = part == "downsamplers"
            rest = rest.replace("conv.", "op.") if downsampler else rest
            number = 2 * block + 2 if downsampler else 2 * block + 1 + int(layer)
            place = f"input_blocks.{number}.{int(part == 'attentions')}"
        else:
            number = 2 * block + 1 if part == "upsamplers" else 2 * block + int(layer)
            last = (
                2
                if block < blocks - 1 and f"up_blocks.{block}.attentions.0.norm.weight" in unet.state_dict()
                else 1
            )
            place = f"output_blocks.{number}.{dict(resnets=0, attentions=1, upsamplers=last)[part]}"
        state[f"{place}.{rest}"] = value
    return state


def _vae(vae: State) -> State:
    levels = 1 + max(int(key.split(".")[2]) for key in vae if key.startswith("encoder.down_blocks"))
    state = {}
    for key, value in vae.items():
        new = key.replace("conv_shortcut", "nin_shortcut").replace("conv_norm_out", "norm_out")
        new = re.sub(r"down_blocks\.(\d)\.resnets\.(\d)", r"down.\1.block.\2", new)
        new = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", new)
        new = re.sub(
            r"up_blocks\.(\d)\.resnets\.(\d)",
            lambda found: f"up.{levels - 1 - int(found[1])}.block.{found[2]}",
            new,
        )
        new = re.sub(
            r"up_blocks\.(\d)\.upsamplers\.0", lambda found: f"up.{levels - 1 - int(found[1])}.upsample", new
        )
        new = re.sub(r"mid_block\.resnets\.(\d)", lambda found: f"mid.block_{int(found[1]) + 1}", new)
        if "attentions.0." in new:
            before, rest = new.split("mid_block.attentions.0.")
            new = f"{before}mid.attn_1.{_renamed(rest, VAE_ATTENTION)}"
            value = value[:, :, None, None] if value.ndim == 2 else value  # a 1x1 convolution there
        state[new] = value
    return state


def _open_clip(encoder: State) -> State:
    state = {
        "positional_embedding": encoder["text_model.embeddings.position_embedding.weight"],
        "token_embedding.weight": encoder["text_model.embeddings.token_embedding.weight"],
        "ln_final.weight": encoder["text_model.final_layer_norm.weight"],
        "ln_final.bias": encoder["text_model.final_layer_norm.bias"],
        "text_projection": encoder["text_projection.weight"].T,
    }
    layers = 1 + max(int(key.split(".")[3]) for key in encoder if key.startswith("text_model.encoder"))
    for layer in range(layers):
        old, new = f"text_model.encoder.layers.{layer}.", f"transformer.resblocks.{layer}."
        for kind in ("weight", "bias"):
            parts = [encoder[f"{old}self_attn.{part}_proj.{kind}"] for part in "qkv"]
            state[f"{new}attn.in_proj_{kind}"] = torch.cat(parts)
            state |= {f"{new}{to}.{kind}": encoder[f"{old}{name}.{kind}"] for name, to in OPEN_CLIP.items()}
    return state
