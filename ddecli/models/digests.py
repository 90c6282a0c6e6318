"""What tells two models apart: digests of the files that are loaded, and of no others.

Weights are hashed by value, as float32: a copy in another format, in pieces, or saved again by a training is the same
model, and half precision beside full is not looked at.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ddecli.core.digests import remembered
from ddecli.core.files import read_json, sha256_file, sha256_text
from ddecli.core.paths import readable_file
from ddecli.models.parts import NETWORKS, TEXT_ENCODERS, TOKENIZERS, loaded_files, weights_of
from ddecli.models.tensors import read_tensors

ENCODERS = ("vae", *TEXT_ENCODERS, *TOKENIZERS)
"""The parts that decide what a pair store holds."""

ABOUT_THE_FILE = ("dtype", "torch_dtype", "transformers_version")
"""Keys of a configuration that say how it was saved; those that begin with an underscore do too."""


def fingerprint(folder: Path) -> str:
    """Identify the autoencoder and text encoders in a diffusers folder: 64 hexadecimal digits.

    Raises:
        UserError: damaged files.
    """
    return _digest(folder, ENCODERS)


def model_sha256(folder: Path, loras: Sequence[Path] = ()) -> str:
    """Identify all networks of a model, its U-Net included: 64 hexadecimal digits.

    Args:
        folder: a diffusers folder.
        loras: files of LoRA weights on top, in their order.

    Raises:
        UserError: damaged files.
    """
    own = _digest(folder, ("unet", *ENCODERS))
    return sha256_text("\n".join([own, *(_weights(f"lora {file.name}", [file]) for file in loras)]))


def older_fingerprints(folder: Path) -> set[str]:
    """What pair stores made before `fingerprint` hashed values may say; nothing where it did not tell models apart.

    It read the first and last MiB of .safetensors files, loaded or not, every configuration and vocabulary, and no
    .bin file.
    """
    used = [file for part in NETWORKS for file in weights_of(folder, part) if part != "unet"]
    if any(file.suffix != ".safetensors" for file in used):
        return set()
    return {_of_both_ends(folder, used), _of_both_ends(folder, sorted(folder.glob("*/*.safetensors")))}


def _of_both_ends(folder: Path, weights: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for part in ENCODERS:
        for path in sorted((folder / part).glob("*")):
            if path.suffix not in {".json", ".txt"} and path not in weights:
                continue
            digest.update(f"{part}/{path.name}:{path.stat().st_size}".encode())
            with readable_file(path).open("rb") as file:
                digest.update(file.read(2**20))
                file.seek(max(0, path.stat().st_size - 2**20))
                digest.update(file.read())
    return digest.hexdigest()[:16]


def _digest(folder: Path, parts: Iterable[str]) -> str:
    lines = []
    for part in parts:
        if part in NETWORKS:
            if (folder / part / "config.json").is_file():
                lines.append(f"{part} {_configuration(folder / part / 'config.json')}")
                lines.append(f"{part} {_weights(part, weights_of(folder, part))}")
        else:
            files = loaded_files(folder, part)
            lines += [f"{part}/{name} {sha256_file(file)}" for name, file in sorted(files.items())]
    return sha256_text("\n".join(lines))


def _configuration(file: Path) -> str:
    """SHA-256 of what a configuration says of the network."""
    values = read_json(file, dict[str, Any], "fetch the model again")
    own = {
        name: value
        for name, value in values.items()
        if name not in ABOUT_THE_FILE and not name.startswith("_")
    }
    return sha256_text(json.dumps(own, sort_keys=True))


def _weights(part: str, files: Sequence[Path]) -> str:
    """SHA-256 over names, shapes and values of tensors, however they are spread over files."""

    def compute() -> str:
        return sha256_text("\n".join(sorted(_line(name, value) for name, value in read_tensors(files))))

    return remembered(f"values of {part}", files, compute)


def _line(name: str, value: Tensor) -> str:
    content = value.contiguous().reshape(-1).view(torch.uint8).numpy()
    return f"{name} {value.dtype} {tuple(value.shape)} {hashlib.sha256(content.data).hexdigest()}"
