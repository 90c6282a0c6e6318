"""Rows of tensors in safetensors files of bounded size: written once, read memory-mapped."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ddecli.core.errors import UserError
from ddecli.core.paths import readable_file

LATENTS, EMBEDDINGS = "latents", "prompt-embeddings"
"""What the two kinds of shards are called."""

PREPARE_AGAIN = "run ddecli prepare again with --overwrite"
"""The way out of a damaged store."""
AGAIN = f"{PREPARE_AGAIN[0].upper()}{PREPARE_AGAIN[1:]}."

SHARD_BYTES = 256 * 2**20
"""A shard's size; also the most that is held in memory while writing."""


def shard_name(stem: str, number: int) -> str:
    """File name of a shard, for example `latents-00003.safetensors`."""
    return f"{stem}-{number:05d}.safetensors"


def rows_per_shard(row_numbers: int, dtype: torch.dtype) -> int:
    """Rows that fill a shard when a row holds `row_numbers` numbers."""
    return max(1, SHARD_BYTES // (row_numbers * dtype.itemsize))


class ShardWriter:
    """Appends rows and writes a shard whenever one is full."""

    def __init__(self, folder: Path, stem: str, dtype: torch.dtype) -> None:
        self.folder, self.stem, self.dtype = folder, stem, dtype
        self.count = 0
        self.shard_rows: list[int] = []  # rows of each shard written
        self.shapes: dict[str, list[int]] = {}
        self._full: int | None = None  # rows that fill a shard, known once the first rows are seen
        self._pending: list[dict[str, Tensor]] = []
        self._pending_rows = 0

    def append(self, rows: dict[str, Tensor]) -> None:
        """Append rows: each tensor (N, ...), the same N and always the same keys and shapes."""
        rows = {key: value.detach().to("cpu", self.dtype).contiguous() for key, value in rows.items()}
        if self._full is None:
            self.shapes = {key: list(value.shape[1:]) for key, value in rows.items()}
            self._full = rows_per_shard(sum(value[0].numel() for value in rows.values()), self.dtype)
        added = len(next(iter(rows.values())))
        self.count += added
        self._pending.append(rows)
        self._pending_rows += added
        while self._pending_rows >= self._full:
            self._write(self._full)

    def close(self) -> None:
        """Write what is left."""
        if self._pending_rows:
            self._write(self._pending_rows)

    def _write(self, count: int) -> None:
        keys = self._pending[0]
        whole = {key: torch.cat([rows[key] for rows in self._pending]) for key in keys}
        full = {key: value[:count].contiguous() for key, value in whole.items()}
        save_file(full, self.folder / shard_name(self.stem, len(self.shard_rows)))
        self.shard_rows.append(count)
        self._pending_rows -= count
        self._pending = [{key: value[count:] for key, value in whole.items()}] if self._pending_rows else []


class ShardReader:
    """Reads rows by index from the shards a `ShardWriter` wrote; only the rows asked for come into memory."""

    def __init__(self, folder: Path, stem: str, shard_rows: Sequence[int]) -> None:
        """Map the shards.

        Args:
            shard_rows: rows of each shard, in their order.

        Raises:
            UserError: a shard is missing, damaged, or holds another number of rows.
        """
        self._ends = torch.tensor(list(accumulate(shard_rows)))
        self._starts = self._ends - torch.tensor(shard_rows)
        self._shards: list[dict[str, Tensor]] = []
        for number, rows in enumerate(shard_rows):
            path = folder / shard_name(stem, number)
            shard = _map(path)
            if any(len(value) != rows for value in shard.values()):
                raise UserError(f"{path} does not hold the rows that the manifest counts. {AGAIN}")
            self._shards.append(shard)

    def __call__(self, indices: Tensor) -> dict[str, Tensor]:
        """Rows at `indices` (N,) long -> each key's (N, ...) in float32."""
        shard = torch.bucketize(indices, self._ends, right=True)
        row = indices - self._starts[shard]
        needed = shard.unique().tolist()
        if len(needed) == 1:
            return {key: value[row].float() for key, value in self._shards[needed[0]].items()}
        first = self._shards[0]
        out = {key: torch.empty(len(indices), *value.shape[1:]) for key, value in first.items()}
        for number in needed:
            here = (shard == number).nonzero().squeeze(1)
            for key, value in self._shards[number].items():
                out[key][here] = value[row[here]].float()
        return out


def _map(path: Path) -> dict[str, Tensor]:
    """Tensors of a shard, backed by the file: a page is read when it is touched."""
    try:
        with safe_open(readable_file(path), framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no mapping
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is missing or damaged ({error}). {AGAIN}") from error
