"""What a .safetensors file holds, from its header alone: the family of a checkpoint, the shapes of LoRA weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from ddecli.core.errors import UserError
from ddecli.core.paths import readable_file

FAMILY_KEYS = {"conditioner.embedders.1.": "sdxl", "cond_stage_model.": "sd"}
"""Beginnings of names that only one family's single checkpoint files have: their text encoders."""

LORA_DOWN = (".lora.down.weight", ".lora_A.weight")
"""Ends of the names of a LoRA's first matrix, (rank, in_features), as diffusers and peft write them."""


def tensor_shapes(file: Path) -> dict[str, list[int]]:
    """Shape of every tensor in a file, by name.

    Raises:
        UserError: no safetensors file, or one that was cut short.
    """
    try:
        with safe_open(readable_file(file), framework="np") as tensors:
            return {name: tensors.get_slice(name).get_shape() for name in tensors.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise UserError(f"{file} is no whole .safetensors file: {str(error).splitlines()[0]}.") from error


def tensor_dtypes(file: Path) -> set[str]:
    """Kinds of floating-point numbers in a file, in safetensors' words: F32, F16, BF16, ..."""
    with safe_open(file, framework="np") as tensors:
        kinds = {tensors.get_slice(name).get_dtype() for name in tensors.keys()}  # noqa: SIM118
    return {kind for kind in kinds if "F" in kind}


def checkpoint_family(file: Path) -> str:
    """Family of a single checkpoint file, `sd` or `sdxl`.

    Raises:
        UserError: a file of another kind, such as LoRA weights or a U-Net alone.
    """
    if file.suffix != ".safetensors":
        raise UserError(
            f"{file} is no .safetensors file; a checkpoint in another format may hold code, convert it first."
        )
    names = tensor_shapes(file)
    for beginning, family in FAMILY_KEYS.items():
        if any(name.startswith(beginning) for name in names):
            return family
    held = "LoRA weights" if any("lora" in name for name in names) else "no text encoder"
    raise UserError(
        f"{file} holds {held}, not a whole Stable Diffusion or SDXL checkpoint; give one, or a diffusers folder."
    )


def check_lora_fits(file: Path, unet: Any, base: str) -> None:
    """Compare LoRA weights with the U-Net they are to be loaded into.

    Raises:
        UserError: they were trained on another model.
    """
    modules = dict(unet.named_modules())
    for name, (_, width, *_) in _first_matrices(file).items():
        module = modules.get(name)
        if module is None or module.weight.shape[1] != width:
            raise UserError(
                f"The LoRA weights in {file} do not fit {base} (see its {name}): they were trained on another "
                "model. Give the run whose run.yaml names that model."
            )


def _first_matrices(file: Path) -> dict[str, list[int]]:
    """Shapes of a LoRA's first matrices by the module of the U-Net they belong to."""
    return {
        name.removeprefix("unet.").removesuffix(end): shape
        for name, shape in tensor_shapes(file).items()
        for end in LORA_DOWN
        if name.startswith("unet.") and name.endswith(end)
    }
