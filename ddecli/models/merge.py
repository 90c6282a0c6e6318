"""LoRA weights made part of their base: a diffusers folder, or a single checkpoint file, that needs no other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from ddecli.core.errors import UserError
from ddecli.core.files import atomic_file, atomic_folder
from ddecli.core.paths import FILE, FOLDER, replaceable
from ddecli.models.base import DiffusionModel
from ddecli.models.checkpoint_file import check_checkpoint_file, save_checkpoint_file
from ddecli.models.load import load_for_sampling
from ddecli.models.lora import changes_text_encoder, fuse_lora
from ddecli.models.parts import TEXT_ENCODERS
from ddecli.models.saved import save_base, save_text_encoder, save_unet

Precision = Literal["fp32", "fp16"]
DTYPES = {"fp32": torch.float32, "fp16": torch.float16}
CHECKPOINT = ".safetensors"
OTHER_CHECKPOINTS = (".ckpt", ".pt", ".pth", ".bin")


@dataclass(frozen=True)
class MergeSummary:
    """What was written: `loras` are the files that went into the base, `bytes` the size of it all."""

    out: str
    model: str
    loras: list[str]
    dtype: str
    bytes: int


def merge(name: str, out: Path, dtype: Precision = "fp32") -> MergeSummary:
    """Write a model with its LoRA weights in it; `out` is written whole, or not at all.

    Args:
        name: of the model: a run, a base with LoRA weights (`sd15+style.safetensors`), or one without any.
        out: a name that ends in .safetensors becomes a single checkpoint file, any other a diffusers folder.
        dtype: of the numbers in it.

    Raises:
        UserError: something lies at `out`, the model cannot be loaded, its LoRA does not fit it, or a single file
            cannot hold it.
    """
    is_file = out.suffix.lower() == CHECKPOINT
    _check_place(out, is_file)
    model = load_for_sampling(name)
    pipeline: Any = model.pipeline
    if model.source.loras:
        fuse_lora(pipeline)
    if is_file:
        check_checkpoint_file(pipeline)
        with atomic_file(out) as file:
            save_checkpoint_file(pipeline, file, DTYPES[dtype])
        size = out.stat().st_size
    else:
        with atomic_folder(out) as folder:
            _save_folder(model, folder, DTYPES[dtype])
        size = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    return MergeSummary(str(out), name, [str(lora) for lora in model.source.loras], dtype, size)


def _check_place(out: Path, is_file: bool) -> None:
    if out.suffix.lower() in OTHER_CHECKPOINTS:
        raise UserError(
            f"--out {out}: a {out.suffix} file may hold code and is not written; let it end in {CHECKPOINT}, or give "
            "the name of a folder."
        )
    place = replaceable(out, FILE if is_file else FOLDER)
    if place.exists() and (is_file or any(place.iterdir())):
        state = "is there already" if is_file else "is not empty"
        raise UserError(f"{out} {state}: choose another --out, or remove it first.")


def _save_folder(model: DiffusionModel, folder: Path, dtype: torch.dtype) -> None:
    """All parts of the base with the U-Net as it is now, and with the text encoders if a LoRA changed them."""
    save_base(model.folder, folder, dtype)
    save_unet(model.pipeline.unet, folder, dtype)
    if any(changes_text_encoder(lora) for lora in model.source.loras):
        for part in TEXT_ENCODERS:
            if getattr(model.pipeline, part, None) is not None:
                save_text_encoder(getattr(model.pipeline, part), folder / part, dtype)
