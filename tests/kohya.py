"""LoRA weights as kohya's scripts name them: underscores, `alpha`, blocks by diffusers' or the original names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from single_files import _unet
from torch import Tensor

State = dict[str, Tensor]
ENDS = {"down.weight": "lora_down.weight", "up.weight": "lora_up.weight"}


def kohya_names(ours: State, original: Any = None) -> State:
    """The weights of a LoRA of ours, whose alpha is its rank.

    Args:
        original: a U-Net to take the original code's names of blocks from; None keeps diffusers'.
    """
    places = {}
    if original is not None:
        kept = {value.data_ptr(): name for name, value in original.state_dict().items()}
        places = {kept[value.data_ptr()]: name for name, value in _unet(original).items()}
    state: State = {}
    for name, value in ours.items():
        module, _, end = name.removeprefix("unet.").rpartition(".lora.")
        module = places.get(f"{module}.weight", f"{module}.weight").removesuffix(".weight")
        stem = f"lora_unet_{module.replace('.', '_')}"
        state[f"{stem}.{ENDS[end]}"] = value
        if end == "down.weight":
            state[f"{stem}.alpha"] = torch.tensor(float(len(value)))
    return state


def text_encoder_weights(width: int = 16) -> State:
    """For the attention and the layers behind it of a small text encoder."""
    state: State = {}
    for layer in (0, 1):
        for name, (inward, outward) in {
            "self_attn_q_proj": (width, width), "self_attn_k_proj": (width, width), "self_attn_v_proj": (width, width),
            "self_attn_out_proj": (width, width), "mlp_fc1": (width, 2 * width), "mlp_fc2": (2 * width, width),
        }.items():  # fmt: skip
            stem = f"lora_te_text_model_encoder_layers_{layer}_{name}"
            state[f"{stem}.lora_down.weight"] = torch.randn(2, inward)
            state[f"{stem}.lora_up.weight"] = torch.randn(outward, 2)
            state[f"{stem}.alpha"] = torch.tensor(2.0)
    return state


def rewrite(file: Path, state: State) -> None:
    """Put other weights in the place of a run's."""
    assert file.is_file() and load_file(file)
    save_file(state, file)
