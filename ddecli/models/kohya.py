"""LoRA weights as kohya's scripts write them, which ComfyUI, A1111 and their kin read.

The names of modules are joined by underscores behind `lora_unet_`, and each has an `alpha`. Kohya trains SD in
diffusers' U-Net and SDXL in the original one, so blocks are `down_blocks_1_attentions_0` for SD and `input_blocks_4_1`
for SDXL; diffusers, ComfyUI and A1111 read each in both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from diffusers.utils.state_dict_utils import StateDictType, convert_state_dict_to_kohya
from torch import Tensor

from ddecli.models.original_names import original_blocks, original_name
from ddecli.models.presets import LORA_WEIGHTS
from ddecli.models.tensors import save_tensors

LoraFormat = Literal["diffusers", "kohya", "both"]
BASE_VERSIONS = {768: "sd_v1", 1024: "sd_v2", 2048: "sdxl_base_v1-0"}
"""What kohya calls a base model, by the width of its text embeddings."""
LONGEST_NAME = 200
"""Bytes; a file's name may have 255."""


def kohya_file_name(name: str) -> str:
    """Name of the file for a run of this name; web interfaces put it into prompts, as in `<lora:NAME:1>`."""
    plain = re.sub(r"[^\w.-]+", "-", name).strip(".-")
    plain = plain.encode()[:LONGEST_NAME].decode(errors="ignore") or "lora"
    return f"{plain}-kohya.safetensors"


def lora_files(lora_format: LoraFormat, name: str) -> list[str]:
    """Names of the files that the weights of a LoRA of this name are saved in."""
    files = {"diffusers": LORA_WEIGHTS, "kohya": kohya_file_name(name)}
    return [file for kind, file in files.items() if lora_format in (kind, "both")]


def save_kohya(file: Path, unet: Any, weights: Mapping[str, Tensor], base: str, is_sdxl: bool) -> None:
    """Write LoRA weights of a U-Net, in the precision that they have.

    Args:
        file: where to.
        unet: that the adapters lie in.
        weights: the adapters' matrices by peft's names, without a prefix; alpha is their rank.
        base: what the model that they were trained on is called.
        is_sdxl: whether blocks have the original code's names.
    """
    if is_sdxl:
        blocks = original_blocks(unet)
        weights = {_renamed(name, blocks): value for name, value in weights.items()}
    state = convert_state_dict_to_kohya(
        {f"unet.{name}": value for name, value in weights.items()}, original_type=StateDictType.PEFT
    )
    tensors = {
        name: value.to(torch.float32) if name.endswith(".alpha") else value.contiguous()
        for name, value in state.items()
    }
    rank = next(len(value) for name, value in tensors.items() if name.endswith(".lora_down.weight"))
    save_tensors(tensors, file, _metadata(file.stem, unet, rank, base))


def _renamed(name: str, blocks: dict[str, str]) -> str:
    module, ending = re.fullmatch(r"(.+)(\.lora_[AB]\.weight)", name).groups()  # type: ignore[union-attr]
    return original_name(module, blocks) + ending


def _metadata(name: str, unet: Any, rank: int, base: str) -> dict[str, str]:
    """What is known and what tools ask: A1111 tells SD from SDXL by it and names the LoRA after `ss_output_name`."""
    version = BASE_VERSIONS.get(unet.config.cross_attention_dim)
    known = {"ss_base_model_version": version, "ss_v2": str(version == "sd_v2")} if version else {}
    return {
        "format": "pt",
        "ss_output_name": name,
        "ss_sd_model_name": base,
        "ss_network_module": "networks.lora",
        "ss_network_dim": str(rank),
        "ss_network_alpha": str(rank),
    } | known
