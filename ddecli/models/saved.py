"""A saved model: the parts that its index names, all in float32, and nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from ddecli.core.files import read_json, write_json
from ddecli.models.parts import INDEX, NETWORKS, TEXT_ENCODERS, loaded_files, parts_of, used_index, weights_of
from ddecli.models.tensors import in_precision, read_tensors

State = Mapping[str, Tensor]

PLAIN_WEIGHTS = {"unet": "diffusion_pytorch_model.safetensors", "vae": "diffusion_pytorch_model.safetensors"}
DTYPE_KEYS = ("dtype", "torch_dtype")
"""What transformers calls the precision in a configuration, and called it before version 5."""


def save_base(base: Path, folder: Path, dtype: torch.dtype = torch.float32) -> None:
    """Write everything of a pipeline but its U-Net.

    transformers loads a network in the precision that its configuration names, or that its file is stored in, and
    diffusers in float32. So whatever the base was stored in, the parts are written in float32: they fit together for
    whoever loads them without saying a precision, and no number changes.

    Args:
        base: the diffusers folder it is taken from.
        folder: where to.
        dtype: another precision to store numbers in; configurations name float32 all the same, see above.

    Raises:
        UserError: damaged files in `base`, or numbers beyond the precision.
    """
    write_json(folder / INDEX, used_index(base))
    for part in parts_of(base):
        if part == "unet" or not (base / part).is_dir():
            continue
        (folder / part).mkdir(parents=True, exist_ok=True)
        if part in NETWORKS:
            _save_network(base, part, folder / part, dtype)
        else:
            for name, file in loaded_files(base, part).items():
                shutil.copyfile(file, folder / part / name)


def save_unet(
    unet: Any, folder: Path, dtype: torch.dtype = torch.float32, weights: State | None = None
) -> None:
    """Write a U-Net as a part of a pipeline.

    Args:
        folder: the pipeline's.
        dtype: that numbers are stored in.
        weights: its values by name; None takes those it has now.
    """
    own = {key: value for key, value in unet.config.items() if key != "_name_or_path"}
    with torch.device("meta"):  # an empty U-Net of the same configuration, to hold the weights
        holder = type(unet).from_config(own)
    state = unet.state_dict() if weights is None else weights
    stored = {name: in_precision(value, dtype, f"unet: {name}") for name, value in state.items()}
    holder.load_state_dict(stored, assign=True)
    holder.save_pretrained(folder / "unet")


def save_text_encoder(encoder: Any, folder: Path, dtype: torch.dtype) -> None:
    """Write a text encoder whose weights are no longer its base's in the place of that one, see `save_base`."""
    for name, value in encoder.state_dict().items():
        in_precision(value, dtype, f"{folder.name}: {name}")
    encoder.to(dtype).save_pretrained(folder)
    config = read_json(folder / "config.json", dict[str, Any])
    write_json(folder / "config.json", config | {"dtype": "float32"})


def _save_network(base: Path, part: str, folder: Path, dtype: torch.dtype) -> None:
    config = read_json(base / part / "config.json", dict[str, Any], "fetch the model again")
    named = {key: "float32" for key in DTYPE_KEYS if key in config}
    if not named and dtype != torch.float32 and part in TEXT_ENCODERS:
        named = {DTYPE_KEYS[0]: "float32"}
    write_json(folder / "config.json", config | named)
    tensors = {
        name: in_precision(value, dtype, f"{part}: {name}").contiguous()
        for name, value in read_tensors(weights_of(base, part))
    }
    name = PLAIN_WEIGHTS.get(part, "model.safetensors")
    save_file(tensors, folder / name, metadata={"format": "pt"})
