"""Pairs in parquet files: Pick-a-Pic's columns, or prompt, chosen, rejected."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ddecli.core.errors import BadRow, UserError
from ddecli.data.columns import resolve_columns
from ddecli.data.pairs import Pair, Rejects

ROWS_AT_ONCE = 32
"""Rows decoded together: with two pictures of a megabyte each, some 64 MB."""


def shards(path: Path) -> list[Path]:
    """The parquet files of a folder (at any depth, sorted by name), or the file itself."""
    return [path] if path.is_file() else sorted(path.rglob("*.parquet"))


def check(files: Sequence[Path], mapping: Mapping[str, str]) -> int:
    """Check every shard's footer and columns before any work is done, and count the rows.

    Raises:
        UserError: a shard is damaged (cut in half, or no parquet) or lacks a needed column.
    """
    rows = 0
    for file in files:
        parquet = _open(file)
        resolve_columns(parquet.schema_arrow.names, mapping, str(file))
        rows += parquet.metadata.num_rows
    return rows


def parquet_pairs(files: Sequence[Path], mapping: Mapping[str, str], rejects: Rejects) -> Iterator[Pair]:
    """Yield the pairs of parquet shards; rows that are none go to `rejects`.

    Memory holds one row group at most, however large the shards are.

    File names in the pictures' columns are relative to the shard's folder.

    Raises:
        UserError: a shard is damaged or lacks a needed column.
    """
    for file in files:
        parquet = _open(file)
        columns = resolve_columns(parquet.schema_arrow.names, mapping, str(file))
        number = 0
        try:
            for batch in parquet.iter_batches(batch_size=ROWS_AT_ONCE, columns=columns.names):
                for row in batch.to_pylist():
                    row_id = f"{file.name}:{number}"
                    number += 1
                    try:
                        yield columns.pair(row, row_id, str(file), file.parent)
                    except BadRow as error:
                        rejects.add(row_id, error)
        except (pa.ArrowException, OSError) as error:
            raise UserError(f"{file} is damaged at row {number}: {error}. Fetch this shard again.") from error


def _open(file: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(file, memory_map=True)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{file} cannot be read as parquet: {error}. Fetch this shard again.") from error
