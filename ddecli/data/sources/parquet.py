"""Parquet files: Pick-a-Pic's columns, Rapidata's, prompt, chosen, rejected, or any that are named."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ddecli.core.errors import BadRow, UserError
from ddecli.core.files import sampled_sha256
from ddecli.core.paths import readable_file
from ddecli.data.columns import Columns, resolve_columns
from ddecli.data.groups import gathered
from ddecli.data.pairs import Pair, Rejects
from ddecli.data.sources.base import PART_ROWS, Part, Source, Wanted
from ddecli.data.sources.split_names import of_split, splits_of

ROWS_AT_ONCE = 32
"""Rows decoded together at most: with two pictures of a megabyte each, some 64 MB."""
BYTES_AT_ONCE = 256 * 2**20
"""Bytes that rows decoded together may come to in a column: of a dictionary a file has each value once, a row again."""


@dataclass(frozen=True)
class RowGroup:
    """A row group of a file: the least that can be read alone. `start` is its first row's number."""

    file: Path
    number: int
    start: int
    rows: int


def parquet_source(path: Path, wanted: Wanted) -> Source:
    """A parquet file, or the parquet files of a folder (at any depth, sorted by name).

    Every shard's footer and columns are checked before any work is done. A part is some row groups of
    `PART_ROWS` rows together, or a single larger one; where every picture has a row of its own, a file.

    Raises:
        UserError: a shard is damaged (cut in half, or no parquet), lacks a needed column, or there is none
            of the split.
    """
    files = [path]
    if path.is_dir():
        names = [str(file.relative_to(path)) for file in sorted(path.rglob("*.parquet"))]
        files = [path / name for name in of_split(splits_of(names), wanted.split, str(path))]
    groups: list[RowGroup] = []
    for file in files:
        with open_parquet(file) as parquet:
            columns = columns_of(parquet, wanted, str(file))
            start = 0
            for number in range(parquet.num_row_groups):
                rows = parquet.metadata.row_group(number).num_rows
                groups.append(RowGroup(file, number, start, rows))
                start += rows
    if not groups:
        raise UserError(f"{path} holds no rows.")
    contents = {file: sampled_sha256(file) for file in files}
    shards = [list(own) for _, own in groupby(groups, lambda group: group.file)]
    pieces = shards if columns.grouped else _gathered(groups)  # pictures of a prompt are not parted
    parts = [_part(together, wanted, contents) for together in pieces]
    layout = f"{len(files)} parquet file{'s'[: len(files) != 1]}: {columns.layout}"
    return Source(str(path.resolve()), layout, parts)


def open_parquet(file: Path | Any) -> pq.ParquetFile:
    """Open a parquet file, or an open file of one, whose own errors are left to whoever opened it.

    Raises:
        UserError: it is none, or damaged.
    """
    local = isinstance(file, Path)
    try:
        return pq.ParquetFile(readable_file(file) if isinstance(file, Path) else file, memory_map=local)
    except _damage(local) as error:
        name = file if isinstance(file, Path) else file.path
        raise UserError(f"{name} cannot be read as parquet: {error}. Fetch this shard again.") from error


def columns_of(parquet: pq.ParquetFile, wanted: Wanted, name: str) -> Columns:
    """The columns of a parquet file."""
    return resolve_columns(
        parquet.schema_arrow.names, wanted.mapping, name, wanted.labelled, wanted.winners_only
    )


def rows_to_pairs(
    parquet: pq.ParquetFile,
    columns: Columns,
    rejects: Rejects,
    name: str,
    folder: Path | None,
    groups: Sequence[int] | None = None,
    start: int = 0,
) -> Iterator[Pair]:
    """Yield the pairs of a file's row groups (all if None); rows that are none go to `rejects`.

    Memory holds one row group at most, however large the file is.

    Args:
        name: of the file, as pairs and messages say it.
        folder: what file names in the pictures' columns are relative to; None: there may be none, and the
            system's errors are left to whoever opened the file.
        start: number of the first row.

    Raises:
        UserError: the file is damaged.
    """
    number = start

    def named() -> Iterator[tuple[str, dict[str, Any]]]:
        nonlocal number
        for row in _rows(parquet, range(parquet.num_row_groups) if groups is None else groups, columns.names):
            number += 1
            yield f"{Path(name).name}:{number - 1}", row

    try:
        for row_id, row in gathered(named(), columns):
            try:
                if isinstance(row, BadRow):
                    raise row
                yield from columns.pairs(row, row_id, name, folder)
            except BadRow as error:
                rejects.add(row_id, error)
    except UnicodeDecodeError as error:
        raise UserError(
            f"{name} holds text that is not UTF-8 behind row {number - 1}: write the table again, from text."
        ) from error
    except _damage(folder is not None) as error:
        raise UserError(f"{name} is damaged at row {number}: {error}. Fetch this shard again.") from error


def _damage(local: bool) -> tuple[type[Exception], ...]:
    """What says that a file is damaged; of a remote one the system's errors say that the network is."""
    return (pa.ArrowException, OSError) if local else (pa.ArrowException,)


def _rows_at_once(group: pq.RowGroupMetaData, names: list[str]) -> int:
    """How many rows stay below `BYTES_AT_ONCE`, even if one value fills a column and every row has it."""
    columns = (group.column(number) for number in range(group.num_columns))
    sizes = (
        column.total_uncompressed_size
        for column in columns
        if any(f"{column.path_in_schema}.".startswith(f"{name}.") for name in names)
    )
    return max(1, min(ROWS_AT_ONCE, BYTES_AT_ONCE // max(1, *sizes, 1)))


def _rows(parquet: pq.ParquetFile, groups: Sequence[int], names: list[str]) -> Iterator[dict[str, Any]]:
    for group in groups:
        together = _rows_at_once(parquet.metadata.row_group(group), names)
        for batch in parquet.iter_batches(batch_size=together, row_groups=[group], columns=names):
            yield from batch.to_pylist()


def _gathered(groups: Sequence[RowGroup]) -> Iterator[list[RowGroup]]:
    """Row groups in their order, together until they are `PART_ROWS` rows."""
    together: list[RowGroup] = []
    for group in groups:
        together.append(group)
        if sum(each.rows for each in together) >= PART_ROWS:
            yield together
            together = []
    if together:
        yield together


def _part(groups: list[RowGroup], wanted: Wanted, contents: Mapping[Path, str]) -> Part:
    first, last = groups[0], groups[-1]
    rows = sum(group.rows for group in groups)
    name = f"{first.file.name}:{first.start} to {last.file.name}:{last.start + last.rows}"
    files = sorted({group.file for group in groups})
    content = " ".join(contents[file] for file in files)
    return Part(
        name, partial(_read, groups, wanted), rows, sum(file.stat().st_size for file in files), content
    )


def _read(groups: list[RowGroup], wanted: Wanted, rejects: Rejects) -> Iterator[Pair]:
    by_file: dict[Path, list[RowGroup]] = {}
    for group in groups:
        by_file.setdefault(group.file, []).append(group)
    for file, own in by_file.items():
        with open_parquet(file) as parquet:
            columns = columns_of(parquet, wanted, str(file))
            numbers = [group.number for group in own]
            yield from rows_to_pairs(parquet, columns, rejects, str(file), file.parent, numbers, own[0].start)
