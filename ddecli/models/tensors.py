"""The tensors in files of weights, .safetensors or .bin, one after the other."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from ddecli.core.errors import UserError, read_by_others


def read_tensors(files: Iterable[Path]) -> Iterator[tuple[str, Tensor]]:
    """Name and values of every tensor, floating-point numbers as float32, in the order of names within a file.

    Raises:
        UserError: a file is damaged, or holds something else than tensors.
    """
    for file in files:
        tensors = _read(file)
        while True:
            with read_by_others(f"{file} cannot be read as weights", "fetch it again"):
                found = next(tensors, None)
            if found is None:
                break
            yield found


def save_tensors(tensors: dict[str, Tensor], file: Path, metadata: Mapping[str, str]) -> None:
    """Write a .safetensors file whose bytes are the same each time: the library shuffles what its header says."""
    save_file(tensors, file, metadata=dict(metadata))
    with file.open("r+b") as opened:
        size = int.from_bytes(opened.read(8), "little")
        header = json.loads(opened.read(size))
        header["__metadata__"] = dict(sorted(metadata.items()))
        sorted_header = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode().ljust(size)
        if len(sorted_header) == size:
            opened.seek(8)
            opened.write(sorted_header)


def in_precision(value: Tensor, dtype: torch.dtype, name: str) -> Tensor:
    """A tensor's floating-point numbers in another precision; whole numbers stay what they are.

    Raises:
        UserError: a number that is finite and beyond the range of that precision.
    """
    if not value.is_floating_point():
        return value
    new = value.detach().to(dtype)
    if not torch.equal(torch.isfinite(new), torch.isfinite(value)):
        raise UserError(f"{name} holds numbers beyond the range of {str(dtype).removeprefix('torch.')}.")
    return new


def _read(file: Path) -> Iterator[tuple[str, Tensor]]:
    if file.suffix == ".safetensors":
        with safe_open(file, framework="pt") as tensors:
            for name in sorted(tensors.keys()):
                yield name, _full(tensors.get_tensor(name))
        return
    state = torch.load(file, map_location="cpu", weights_only=True)  # never runs code that the file holds
    if not isinstance(state, dict):
        raise UserError(f"{file} cannot be read as weights: it holds no tensors by name.")
    for name in sorted(name for name, value in state.items() if isinstance(value, Tensor)):
        yield name, _full(state[name])


def _full(value: Tensor) -> Tensor:
    return value.float() if value.is_floating_point() else value
