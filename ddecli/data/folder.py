"""Pairs in a folder of pictures: `metadata.jsonl` or `metadata.csv` beside them (imagefolder layout)."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ddecli.core.errors import BadRow, UserError
from ddecli.data.columns import resolve_columns
from ddecli.data.pairs import Pair, Rejects

METADATA_NAMES = ("metadata.jsonl", "metadata.csv")


def metadata_file(folder: Path) -> Path | None:
    """The folder's metadata file, if it has one."""
    return next((folder / name for name in METADATA_NAMES if (folder / name).is_file()), None)


def count_rows(metadata: Path) -> int:
    """Lines of a metadata file: an upper bound of its rows, without parsing them."""
    with metadata.open("rb") as file:
        return sum(1 for line in file if line.strip())


def folder_pairs(metadata: Path, mapping: Mapping[str, str], rejects: Rejects) -> Iterator[Pair]:
    """Yield the pairs a metadata file lists; rows that are none go to `rejects`.

    Raises:
        UserError: the file cannot be read, is empty, or lacks a needed column.
    """
    rows = _csv_rows(metadata) if metadata.suffix == ".csv" else _jsonl_rows(metadata)
    columns = None
    for number, row in rows:
        row_id = f"{metadata.name}:{number}"
        if isinstance(row, BadRow):
            rejects.add(row_id, row)
            continue
        columns = columns or resolve_columns(list(row), mapping, str(metadata))
        try:
            yield columns.pair(row, row_id, str(metadata.parent), metadata.parent)
        except BadRow as error:
            rejects.add(row_id, error)
    if columns is None:
        raise UserError(f"{metadata} lists no pairs.")


def _jsonl_rows(path: Path) -> Iterator[tuple[int, dict[str, Any] | BadRow]]:
    """Numbered rows (first line is 1); a line that is no JSON object is a bad row."""
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            yield number, BadRow("malformed row", str(error))
            continue
        yield number, row if isinstance(row, dict) else BadRow("malformed row", "no JSON object")


def _csv_rows(path: Path) -> Iterator[tuple[int, dict[str, Any] | BadRow]]:
    """Numbered rows of a CSV file with a header (the header is line 1)."""
    text = (line.decode("utf-8", errors="replace") for line in _lines(path))
    reader = csv.DictReader(text)
    try:
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        raise UserError(f"{path} cannot be read as CSV: line {reader.line_num}: {error}.") from error


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file):
                yield line.removeprefix(b"\xef\xbb\xbf") if number == 0 else line
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.") from error
