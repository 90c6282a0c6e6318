"""A saved model: the parts that its index names, all in float32, and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from ddecli.core.files import read_json, write_json
from ddecli.models.parts import INDEX, NETWORKS, loaded_files, parts_of, used_index, weights_of
from ddecli.models.tensors import read_tensors

PLAIN_WEIGHTS = {"unet": "diffusion_pytorch_model.safetensors", "vae": "diffusion_pytorch_model.safetensors"}
DTYPE_KEYS = ("dtype", "torch_dtype")
"""What transformers calls the precision in a configuration, and called it before version 5."""


def save_base(base: Path, folder: Path) -> None:
    """Write everything of a pipeline but its U-Net.

    transformers loads a network in the precision that its configuration names, or that its file is stored in, and
    diffusers in float32. So whatever the base was stored in, the parts are written in float32: they fit together for
    whoever loads them without saying a precision, and no number changes.

    Args:
        base: the diffusers folder it is taken from.
        folder: where to.

    Raises:
        UserError: damaged files in `base`.
    """
    write_json(folder / INDEX, used_index(base))
    for part in parts_of(base):
        if part == "unet" or not (base / part).is_dir():
            continue
        (folder / part).mkdir(parents=True, exist_ok=True)
        if part in NETWORKS:
            _save_network(base, part, folder / part)
        else:
            for name, file in loaded_files(base, part).items():
                shutil.copyfile(file, folder / part / name)


def _save_network(base: Path, part: str, folder: Path) -> None:
    config = read_json(base / part / "config.json", dict[str, Any], "fetch the model again")
    named = {key: "float32" for key in DTYPE_KEYS if key in config}
    write_json(folder / "config.json", config | named)
    tensors = {name: value.contiguous() for name, value in read_tensors(weights_of(base, part))}
    name = PLAIN_WEIGHTS.get(part, "model.safetensors")
    save_file(tensors, folder / name, metadata={"format": "pt"})
