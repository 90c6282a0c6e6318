"""From finished parts to a pair store: indices into one table each, duplicates out, tensors moved into place."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa

from ddecli.core.errors import UserError
from ddecli.core.files import atomic_file, read_json
from ddecli.data.index import DiskTables, prompt_key
from ddecli.data.parts import PART, file_entry
from ddecli.data.shards import EMBEDDINGS, LATENTS, shard_name
from ddecli.data.tables import TableWriter, read_rows

PAIRS = pa.schema(
    [
        ("pair_id", pa.string()),
        *((name, pa.int32()) for name in ("prompt", "chosen", "rejected")),
        ("source", pa.dictionary(pa.int32(), pa.string())),
    ]
)
TABLES = ("pairs", "images", "prompts")
MARGIN = pa.field("margin", pa.float32())
SIZES = ("width", "height", "crop_top", "crop_left")
IMAGES = pa.schema([("sha256", pa.string()), *((name, pa.int32()) for name in SIZES)])
PROMPTS = pa.schema([("text", pa.string())])


def join_split(
    parts: Sequence[Path], split: str, folder: Path, resolution: int, margins: bool
) -> tuple[dict[str, Any], int]:
    """Join one split of some parts into `folder`. May be stopped anywhere and started again.

    Memory is bounded, whatever the number of pairs: the tables from digests to rows lie on the disk.

    Args:
        parts: folders of `encode_part`, in the source's order.
        resolution: the model's, to count pictures that are smaller.
        margins: whether the pairs have a scorer's margins.

    Returns:
        The manifest's entries that follow from the parts, and how many pairs were there twice.

    Raises:
        UserError: a file cannot be written, or a part's tensors are gone.
    """
    folder.mkdir(exist_ok=True)
    with ExitStack() as stack:
        pairs, images, prompts = (
            stack.enter_context(atomic_file(folder / f"{table}.parquet")) for table in TABLES
        )
        tables = _Tables(pairs, images, prompts, resolution, margins)
        for part in parts:
            tables.add(part / split)
        tables.close()
    shard_rows: dict[str, list[int]] = {LATENTS: [], EMBEDDINGS: []}
    hashes: dict[str, dict[str, Any]] = {}
    shapes: dict[str, list[int]] = {}
    for part in parts:
        about = read_json(part / PART)
        here = about["splits"][split]
        shapes = shapes or here["conditioning"]
        for stem, rows in here["shard_rows"].items():
            for number, count in enumerate(rows):
                name = shard_name(stem, len(shard_rows[stem]))
                _move(part / split / shard_name(stem, number), folder / name)
                hashes[name] = about["files"][f"{split}/{shard_name(stem, number)}"]
                shard_rows[stem].append(count)
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

    def __init__(self, pairs: Path, images: Path, prompts: Path, resolution: int, margins: bool) -> None:
        self.pairs = TableWriter(pairs, PAIRS.append(MARGIN) if margins else PAIRS)
        self.images = TableWriter(images, IMAGES)
        self.prompts = TableWriter(prompts, PROMPTS)
        self.rows = DiskTables("images", "prompts", "pairs")
        self.resolution, self.margins = resolution, margins
        self.upscaled = self.long = self.duplicates = 0

    def add(self, part: Path) -> None:
        """Add a part. Its pairs' pictures and prompts are in it, or in a part before it."""
        for row in read_rows(part / "images.parquet"):
            self.rows.add("images", row["pixels"], self.images.count)
            self.images.add(row["sha256"], *(row[name] for name in SIZES))
            self.upscaled += min(row["width"], row["height"]) < self.resolution
        for row in read_rows(part / "prompts.parquet"):
            self.long += self.rows.add("prompts", prompt_key(row["text"]), self.prompts.count) and row["long"]
            self.prompts.add(row["text"])
        for row in read_rows(part / "pairs.parquet"):
            prompt = self.rows.get("prompts", prompt_key(row["prompt"]))
            chosen, rejected = (self.rows.get("images", row[side]) for side in ("chosen", "rejected"))
            if not self.rows.add("pairs", struct.pack("<3q", prompt, chosen, rejected), 1):
                self.duplicates += 1
                continue
            values = (row["pair_id"], prompt, chosen, rejected, row["source"])
            self.pairs.add(*values, *((row["margin"],) if self.margins else ()))

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
