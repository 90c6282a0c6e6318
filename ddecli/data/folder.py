"""Pairs in a folder of pictures: `metadata.jsonl` or `metadata.csv` beside them (imagefolder layout)."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ddecli.core.errors import BadRow, UserError
from ddecli.data.columns import Columns, resolve_columns
from ddecli.data.pairs import Pair, Rejects

METADATA_NAMES = ("metadata.jsonl", "metadata.csv")


def metadata_file(folder: Path) -> Path | None:
    """The folder's metadata file, if it has one."""
    return next((folder / name for name in METADATA_NAMES if (folder / name).is_file()), None)


def inspect(metadata: Path, mapping: Mapping[str, str]) -> tuple[Columns, int]:
    """Find a metadata file's columns (keys of any of its rows) before any work is done, and count its rows.

    Raises:
        UserError: the file cannot be read, lists nothing, or lacks a needed column.
    """
    names: dict[str, None] = {}
    count = 0
    for _, row in _rows(metadata):
        count += 1
        if not isinstance(row, BadRow):
            names.update(dict.fromkeys(row))
    if not names:
        raise UserError(f"{metadata} lists no pairs.")
    return resolve_columns(list(names), mapping, str(metadata)), count


def folder_pairs(metadata: Path, columns: Columns, rejects: Rejects) -> Iterator[Pair]:
    """Yield the pairs a metadata file lists; rows that are none go to `rejects`."""
    for number, row in _rows(metadata):
        row_id = f"{metadata.name}:{number}"
        try:
            if isinstance(row, BadRow):
                raise row
            yield columns.pair(row, row_id, str(metadata.parent), metadata.parent)
        except BadRow as error:
            rejects.add(row_id, error)


def _rows(metadata: Path) -> Iterator[tuple[int, dict[str, Any] | BadRow]]:
    return _csv_rows(metadata) if metadata.suffix == ".csv" else _jsonl_rows(metadata)


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
    reader = csv.DictReader(text, restkey="")
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
