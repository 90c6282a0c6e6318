"""What a .safetensors file holds, from its header alone: names and shapes, parts of a model, and its family."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from safetensors import safe_open

from ddecli.core.errors import UserError, read_by_others
from ddecli.core.paths import readable_file

WRAPPING = "state_dict."
"""Begins every name in files that were written with the dictionary around the weights."""

UNET = "model.diffusion_model."
FIRST_LAYER = f"{UNET}input_blocks.0.0.weight"
PART_KEYS = {
    "unet": (UNET,),
    "vae": ("first_stage_model.", "vae."),
    "text_encoder": ("cond_stage_model.", "conditioner.embedders.0.transformer."),
    "text_encoder_2": ("conditioner.embedders.1.",),
}
"""Beginnings of the names of a part's tensors in single checkpoint files."""

FAMILY_KEYS = {"conditioner.embedders.1.": "sdxl", "cond_stage_model.": "sd", f"{UNET}label_emb.": "sdxl"}
"""Beginnings of names that only one family has: of their text encoders, and of the size conditions in a U-Net alone."""

REFINER_KEY = "conditioner.embedders.0.model."
EDM_KEYS = ("edm_mean", "edm_vpred.sigma_max")
"""Tensors by which files say that they were trained on a continuous schedule."""

OTHER_KINDS = {
    "lora": "LoRA weights",
    "first_stage_model.": "an autoencoder alone",
    "encoder.down": "an autoencoder alone",
    "down_blocks.": "a U-Net as diffusers saves it",
    "control_model.": "a ControlNet",
}
"""What a file without a U-Net of these names may be, by a part of a name."""


def tensor_shapes(file: Path) -> dict[str, list[int]]:
    """Shape of every tensor in a file, by name, without the name of a dictionary around them.

    Raises:
        UserError: no safetensors file, or one that was cut short.
    """
    with (
        read_by_others(f"{file} is no whole .safetensors file", "fetch it again"),
        safe_open(readable_file(file), framework="np") as tensors,
    ):
        shapes = {name: tensors.get_slice(name).get_shape() for name in tensors.keys()}  # noqa: SIM118
    return {name.removeprefix(WRAPPING): shape for name, shape in shapes.items()}


def header(file: Path) -> dict[str, str]:
    """What the header of a whole file says besides names and shapes (`__metadata__`)."""
    with safe_open(file, framework="np") as tensors:
        return tensors.metadata() or {}


def is_wrapped(file: Path) -> bool:
    """Whether the names in a whole file begin with that of a dictionary around them."""
    with safe_open(file, framework="np") as tensors:
        return any(name.startswith(WRAPPING) for name in tensors.keys())  # noqa: SIM118


def tensor_dtypes(file: Path) -> set[str]:
    """Kinds of floating-point numbers in a file, in safetensors' words: F32, F16, BF16, ..."""
    with safe_open(file, framework="np") as tensors:
        kinds = {tensors.get_slice(name).get_dtype() for name in tensors.keys()}  # noqa: SIM118
    return {kind for kind in kinds if "F" in kind}


def checkpoint_family(file: Path) -> str:
    """Family of a single checkpoint file, `sd` or `sdxl`; parts other than the U-Net may be missing in it.

    Raises:
        UserError: a file of another kind, such as LoRA weights or a refiner.
    """
    if file.suffix.lower() != ".safetensors":
        raise UserError(
            f"{file} is no .safetensors file; a checkpoint in another format may hold code, convert it first."
        )
    shapes = tensor_shapes(file)
    if FIRST_LAYER not in shapes:
        kinds = (kind for key, kind in OTHER_KINDS.items() if _some_begin(shapes, key, inside=True))
        held = next(kinds, "no U-Net of these families")
        raise UserError(
            f"{file} holds {held}, not a whole Stable Diffusion or SDXL checkpoint; give one, or a diffusers folder."
        )
    if _some_begin(shapes, REFINER_KEY):
        raise UserError(
            f"{file} is SDXL's refiner, which changes pictures and makes none from prompts: give a base model."
        )
    if any(key in shapes for key in EDM_KEYS):
        raise UserError(
            f"{file} was trained on a continuous noise schedule (EDM): only models of a discrete one, as SD 1.5 and "
            "SDXL are, can be trained and sampled."
        )
    channels = shapes[FIRST_LAYER][1]
    if channels != 4:
        raise UserError(
            f"The U-Net in {file} takes {channels} channels instead of 4: it is no text-to-image model (inpainting "
            "has 9)."
        )
    return next((family for key, family in FAMILY_KEYS.items() if _some_begin(shapes, key)), "sd")


def missing_parts(file: Path, family: str) -> list[str]:
    """Networks of a family that a checkpoint file does not hold."""
    names = tensor_shapes(file)
    parts = [part for part in PART_KEYS if family == "sdxl" or part != "text_encoder_2"]
    return [part for part in parts if not any(_some_begin(names, key) for key in PART_KEYS[part])]


def _some_begin(names: Collection[str], key: str, inside: bool = False) -> bool:
    return any(key in name if inside else name.startswith(key) for name in names)
