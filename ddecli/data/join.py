"""From finished parts to a pair store: indices into one table each, duplicates out, tensors moved into place.

Several processes may have encoded a picture or a prompt each: the first in the source's order stays.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from ddecli.core.digests import check_files, file_entry
from ddecli.core.errors import UserError
from ddecli.core.files import atomic_file
from ddecli.data.index import DiskTables, prompt_key
from ddecli.data.parts import MORE, check_tables, read_part
from ddecli.data.shards import EMBEDDINGS, LATENTS, shard_name
from ddecli.data.tables import TableWriter, read_tuples

PAIRS = pa.schema(
    [
        ("pair_id", pa.string()),
        *((name, pa.int32()) for name in ("prompt", "chosen", "rejected")),
        ("source", pa.dictionary(pa.int32(), pa.string())),
    ]
)
SIDES = ("chosen", "rejected")
TABLES = ("pairs", "images", "prompts")
SIZES = ("width", "height", "crop_top", "crop_left")
IMAGES = pa.schema([("sha256", pa.string()), *((name, pa.int32()) for name in SIZES)])
PROMPTS = pa.schema([("text", pa.string())])


def pair_columns(more: Sequence[str] = (), winners_only: bool = False) -> pa.Schema:
    """Columns of a store's pairs: with some of `MORE`, or without rejected pictures."""
    of_all = [field for field in PAIRS if not (winners_only and field.name == "rejected")]
    return pa.schema([*of_all, *(pa.field(name, MORE[name]) for name in more)])


def join_split(
    parts: Sequence[Path], split: str, folder: Path, resolution: int, columns: pa.Schema
) -> tuple[dict[str, Any], int]:
    """Join one split of some parts into `folder`. May be stopped anywhere and started again.

    Memory is bounded, whatever the number of pairs: the tables from digests to rows lie on the disk.

    Args:
        parts: folders of `encode_part`, in the source's order.
        resolution: the model's, to count pictures that are smaller.
        columns: of the pairs, see `columns_of`.

    Returns:
        The manifest's entries that follow from the parts, and how many pairs were there twice.

    Raises:
        UserError: a file cannot be written, or a part's tensors are gone.
    """
    folder.mkdir(exist_ok=True)
    for part in parts:
        check_tables(part, split, read_part(part))
    with ExitStack() as stack:
        pairs, images, prompts = (
            stack.enter_context(atomic_file(folder / f"{table}.parquet")) for table in TABLES
        )
        tables = _Tables(pairs, images, prompts, resolution, columns)
        new = [tables.add(part / split) for part in parts]
        tables.close()
    shard_rows: dict[str, list[int]] = {LATENTS: [], EMBEDDINGS: []}
    hashes: dict[str, dict[str, Any]] = {}
    shapes: dict[str, list[int]] = {}
    for part, fresh in zip(parts, new, strict=True):
        about = read_part(part)
        here = about["splits"][split]
        shapes = shapes or here["conditioning"]
        for stem, rows in here["shard_rows"].items():
            for number, shard in enumerate(torch.split(fresh[stem], rows)):
                source = part / split / shard_name(stem, number)
                target = folder / shard_name(stem, len(shard_rows[stem]))
                if not shard.any():
                    source.unlink(missing_ok=True)
                    continue
                entry = about["files"][f"{split}/{source.name}"]
                if shard.all():
                    _move(source, target)
                    hashes[target.name] = entry
                else:
                    _select(source, target, shard, entry)
                    hashes[target.name] = file_entry(target)
                shard_rows[stem].append(int(shard.sum()))
    for table in TABLES:
        hashes[f"{table}.parquet"] = file_entry(folder / f"{table}.parquet")
    counts = {"pairs": tables.pairs.count, "images": tables.images.count, "prompts": tables.prompts.count}
    entries = {
        "counts": counts,
        "upscaled_images": tables.upscaled,
        "long_prompts": tables.long,
        "empty_prompt_index": tables.rows.get("prompts", prompt_key("")),
        "conditioning": shapes,
        "shard_rows": shard_rows,
        "files": dict(sorted(hashes.items())),
    }
    return entries, tables.duplicates


class _Tables:
    """The three tables of a store, and where each digest lies in them."""

    def __init__(self, pairs: Path, images: Path, prompts: Path, resolution: int, columns: pa.Schema) -> None:
        self.pairs = TableWriter(pairs, columns)
        self.images = TableWriter(images, IMAGES)
        self.prompts = TableWriter(prompts, PROMPTS)
        self.rows = DiskTables("images", "prompts", "pairs")
        self.resolution, self.columns = resolution, columns.names
        self.sides = [side for side in SIDES if side in self.columns]
        self.upscaled = self.long = self.duplicates = 0

    def add(self, part: Path) -> dict[str, Tensor]:
        """Add a part. Its pairs' pictures and prompts are in it, or in a part before it.

        Returns:
            For each kind of tensors, which of the part's rows (N,) bool are the first of their picture or prompt.
        """
        images, prompts = [], []
        for pixels, *about in read_tuples(part / "images.parquet", ("pixels", "sha256", *SIZES)):
            images.append(self.rows.add("images", pixels, self.images.count))
            if images[-1]:
                self.images.add(*about)
                self.upscaled += min(about[1:3]) < self.resolution
        for text, is_long in read_tuples(part / "prompts.parquet", ("text", "long")):
            prompts.append(self.rows.add("prompts", prompt_key(text), self.prompts.count))
            if prompts[-1]:
                self.prompts.add(text)
                self.long += is_long
        where = [self.columns.index(name) for name in ("prompt", *self.sides)]
        for row in map(list, read_tuples(part / "pairs.parquet", self.columns)):  # earlier versions had fewer
            prompt, *sides = (row[each] for each in where)
            found = [self.rows.get("prompts", prompt_key(prompt))]
            found += [self.rows.get("images", side) for side in sides]
            if not self.rows.add("pairs", struct.pack(f"<{len(found)}q", *found), 1):
                self.duplicates += 1
                continue
            for each, number in zip(where, found, strict=True):
                row[each] = number
            self.pairs.add(*row)
        return {
            LATENTS: torch.tensor(images, dtype=torch.bool),
            EMBEDDINGS: torch.tensor(prompts, dtype=torch.bool),
        }

    def close(self) -> None:
        """Finish the tables."""
        for table in (self.pairs, self.images, self.prompts):
            table.close()


def _move(source: Path, target: Path) -> None:
    """Rename a file, unless a join that was stopped did so already."""
    if source.is_file():
        source.replace(target)
    elif not target.is_file():
        raise UserError(f"{source} is missing. Remove {source.parents[3]} and run ddecli prepare again.")


def _select(source: Path, target: Path, rows: Tensor, entry: dict[str, Any]) -> None:
    """Write some rows of a shard, and remove it, unless a join that was stopped did so already."""
    if not source.is_file():
        _move(source, target)
        return
    check_files(
        source.parent, {source.name: entry}, f"remove {source.parents[1]} and run ddecli prepare again"
    )
    with safe_open(source, framework="pt") as file:
        tensors = {key: file.get_tensor(key)[rows] for key in file.keys()}  # noqa: SIM118 - no mapping
    with atomic_file(target) as temporary:
        save_file(tensors, temporary)
    source.unlink()
