"""Copies of a diffusers folder as people have them: in half precision, two formats, pieces, beside other files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

NETWORKS = ("unet", "vae", "text_encoder", "text_encoder_2")
TENSORS = {"format": "pt"}


def networks(folder: Path) -> list[Path]:
    """Folders of the parts that have weights."""
    return [folder / part for part in NETWORKS if (folder / part).is_dir()]


def weights(part: Path) -> Path:
    """The plain file of a network's weights."""
    return next(part.glob("*model.safetensors"))


def full_precision(base: Path, folder: Path) -> Path:
    """As stock `save_pretrained` writes it."""
    return Path(shutil.copytree(base, folder))


def half_precision(base: Path, folder: Path) -> Path:
    """Every part in float16 under plain names, as `save_pretrained` writes a pipeline that was loaded so."""
    return _halved(full_precision(base, folder), NETWORKS)


def mixed_precision(base: Path, folder: Path) -> Path:
    """The text encoders in float16, the U-Net in bfloat16, the autoencoder in float32."""
    _halved(full_precision(base, folder), ("text_encoder", "text_encoder_2"))
    file = weights(folder / "unet")
    save_file({name: value.bfloat16() for name, value in load_file(file).items()}, file, TENSORS)
    return folder


def half_by_configuration(base: Path, folder: Path) -> Path:
    """Float32 in the files, float16 in the text encoders' configurations, as SDXL's own repository has it."""
    for part in networks(full_precision(base, folder)):
        _set_dtype(part, "float16")
    return folder


def fp16_names_only(base: Path, folder: Path) -> Path:
    """Files named after their precision, and no others, as `save_pretrained(variant="fp16")` writes them."""
    for part in networks(half_precision(base, folder)):
        weights(part).rename(weights(part).with_suffix(".fp16.safetensors"))
    return folder


def bin_files(base: Path, folder: Path) -> Path:
    """torch's own format, as older repositories have it."""
    for part in networks(full_precision(base, folder)):
        file = weights(part)
        name = "pytorch_model.bin" if file.name == "model.safetensors" else "diffusion_pytorch_model.bin"
        torch.save(load_file(file), part / name)
        file.unlink()
    return folder


def in_pieces(base: Path, folder: Path) -> Path:
    """Every network's weights in two files with an index."""
    for part in networks(full_precision(base, folder)):
        file, tensors = weights(part), load_file(weights(part))
        stem, placed = file.name.removesuffix(".safetensors"), {}
        for number in (1, 2):
            name = f"{stem}-0000{number}-of-00002.safetensors"
            piece = dict(list(tensors.items())[number - 1 :: 2])
            save_file(piece, part / name, TENSORS)
            placed |= dict.fromkeys(piece, name)
        (part / f"{file.name}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": placed}))
        file.unlink()
    return folder


def with_other_files(base: Path, folder: Path) -> Path:
    """As repositories are: checkpoints in one file, ONNX, second formats and precisions, a safety checker."""
    index = json.loads((full_precision(base, folder) / "model_index.json").read_text())
    if "safety_checker" in index:
        index |= {"safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"]}
    (folder / "model_index.json").write_text(json.dumps(index))
    for name in ("v1-5-pruned.safetensors", "v1-5-pruned.ckpt", "safety_checker/model.safetensors"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"not a part")
    for part in networks(folder):
        file = weights(part)
        half = {name: _half(value) for name, value in load_file(file).items()}
        save_file(half, file.with_suffix(".fp16.safetensors"), TENSORS)
        for name in ("model.onnx", "diffusion_flax_model.msgpack", "pytorch_model.bin", "README.md"):
            (part / name).write_bytes(b"not a part")
    return folder


STORED: dict[str, Callable[[Path, Path], Path]] = {
    function.__name__: function
    for function in (
        full_precision, half_precision, mixed_precision, half_by_configuration, fp16_names_only, bin_files, in_pieces,
        with_other_files,
    )
}  # fmt: skip


def _halved(folder: Path, parts: tuple[str, ...]) -> Path:
    for part in networks(folder):
        if part.name in parts:
            file = weights(part)
            save_file({name: _half(value) for name, value in load_file(file).items()}, file, TENSORS)
            _set_dtype(part, "float16")
    return folder


def _half(value: Tensor) -> Tensor:
    return value.half() if value.is_floating_point() else value


def _set_dtype(part: Path, dtype: str) -> None:
    """What transformers writes; diffusers writes no precision."""
    if part.name.startswith("text_encoder"):
        config = json.loads((part / "config.json").read_text())
        (part / "config.json").write_text(json.dumps(config | {"dtype": dtype}))
