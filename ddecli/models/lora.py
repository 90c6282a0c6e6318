"""LoRA weights on top of a model: what their file holds, whether they fit, and how they are put there.

diffusers and peft name a module as the U-Net does (`unet.down_blocks.0...`), kohya's scripts and whoever follows them
with underscores, the U-Net's blocks by diffusers' names or by those of the original code (`lora_unet_down_blocks_0...`,
`lora_unet_input_blocks_4...`).
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import torch

from ddecli.core.errors import UserError, first_sentence
from ddecli.models.quiet import quiet_libraries
from ddecli.models.tensors import read_tensors
from ddecli.models.weight_files import tensor_shapes

FIRST_MATRIX = (".lora.down.weight", ".lora_A.weight", ".lora_down.weight", "_lora.down.weight")
"""Ends of the names of a LoRA's first matrix, (rank, in_features, ...)."""

UNET, KOHYA_UNET, KOHYA_TEXT_ENCODER = "unet.", "lora_unet_", "lora_te"
KOHYA_NAME = re.compile(r"lora_(unet|te|te1|te2)_[^.]+\.(lora_down\.weight|lora_up\.weight|alpha)")
TEXT_ENCODERS = ("text_encoder", KOHYA_TEXT_ENCODER)
ORIGINAL_BLOCKS = ("input_blocks_", "middle_block_", "output_blocks_")


def load_lora(pipeline: Any, file: Path, base: Path) -> None:
    """Put LoRA weights onto a pipeline as adapters.

    Args:
        file: that the weights lie in.
        base: where the pipeline is from, for errors.

    Raises:
        UserError: no LoRA weights, or those of another model.
    """
    matrices = _matrices_of_unet(file)
    if not matrices and not changes_text_encoder(file):
        raise UserError(
            f"{file} holds no LoRA weights that diffusers, peft or kohya's scripts write (LoHa and LoKr are others): "
            "convert them, or give another run."
        )
    _check_names(file)
    _check_shapes(file, matrices, pipeline.unet, base)
    for name, value in read_tensors([file]):
        if not torch.isfinite(value).all():
            raise UserError(f"The LoRA weights in {file} hold numbers that are not finite (in {name}).")
    try:
        with quiet_libraries(logging.CRITICAL):
            pipeline.load_lora_weights(file.parent, weight_name=file.name, local_files_only=True)
    except Exception as error:  # whatever diffusers and peft make of names and shapes
        raise UserError(
            f"The LoRA weights in {file} cannot be loaded onto {base}: {first_sentence(error)}"
        ) from error
    loaded = sum("lora_A" in name for name, _ in pipeline.unet.named_parameters())
    if loaded < len(matrices):
        raise UserError(
            f"The LoRA weights in {file} do not fit {base}: {len(matrices) - loaded} of their {len(matrices)} matrices "
            "have no place there. Give the run whose run.yaml names the model that they were trained on."
        )


def fuse_lora(pipeline: Any) -> None:
    """Make the adapters part of the weights."""
    pipeline.fuse_lora()
    pipeline.unload_lora_weights()


def changes_text_encoder(file: Path) -> bool:
    """Whether LoRA weights are for a text encoder too."""
    return any(name.startswith(TEXT_ENCODERS) for name in tensor_shapes(file))


def _check_names(file: Path) -> None:
    """Refuse what diffusers would pass over or stumble at in a file of kohya's names (LoHa, DoRA, LoCon's middle)."""
    names = tensor_shapes(file)
    if any(name.startswith((KOHYA_UNET, KOHYA_TEXT_ENCODER)) for name in names):
        unknown = [name for name in names if not KOHYA_NAME.fullmatch(name)]
        if unknown:
            raise UserError(
                f"{file} holds {unknown[0]}, which belongs to no LoRA that diffusers reads (LoHa, LoKr and DoRA are "
                "others): convert it to a plain LoRA, or leave it out."
            )


def _matrices_of_unet(file: Path) -> dict[str, list[int]]:
    """Shapes of the first matrices of a file that belong to the U-Net, by their names without ending."""
    return {
        name.removesuffix(end): shape
        for name, shape in tensor_shapes(file).items()
        for end in FIRST_MATRIX
        if name.endswith(end) and name.startswith((UNET, KOHYA_UNET))
    }


def _check_shapes(file: Path, matrices: dict[str, list[int]], unet: Any, base: Path) -> None:
    """Compare the first matrices with the modules they are for, as far as their names tell which these are."""
    modules = {name: module for name, module in unet.named_modules() if hasattr(module, "weight")}
    by_underscores = {name.replace(".", "_"): module for name, module in modules.items()}
    for name, (_, width, *_) in matrices.items():
        own = name.removeprefix(UNET).removeprefix(KOHYA_UNET)
        if own.startswith(ORIGINAL_BLOCKS) or ".processor." in own:
            continue
        module = (by_underscores if name.startswith(KOHYA_UNET) else modules).get(own)
        if module is None or module.weight.shape[1] != width:
            raise UserError(
                f"The LoRA weights in {file} do not fit {base} (see its {own}): they were trained on another "
                "model. Give the run whose run.yaml names that model."
            )
