"""Text files with a row a pair and the names of its pictures: jsonl, CSV, or a JSON list.

With `metadata.jsonl` or `metadata.csv` beside the pictures this is the imagefolder layout; a JSON list is
what HPDv2 and HPDv3 have.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from ddecli.core.errors import BadRow, UserError
from ddecli.core.files import sha256_file
from ddecli.core.parsing import parse_json
from ddecli.core.paths import readable_file
from ddecli.data.columns import Columns, resolve_columns
from ddecli.data.pairs import Pair, Rejects
from ddecli.data.sources.base import PART_ROWS, Part, Source, Wanted

CHUNK = 2**20
_BEGIN = re.compile(r"(\xef\xbb\xbf)?\s*\[?")
_BETWEEN = re.compile(r"[ \t\r\n,]*")


@dataclass(frozen=True)
class Mark:
    """A place between two rows: bytes before it, and the number that the next row counts from."""

    offset: int = 0
    number: int = 0


Row = tuple[int, dict[str, Any] | BadRow, Mark]
"""A row's number, the row, and the place behind it."""


def rows_source(file: Path, wanted: Wanted, pictures: Path | None = None, layout: str = "") -> Source:
    """The pairs a text file lists.

    The file is read once before any work is done, to find its columns (keys of any of its rows) and count its
    rows; then in parts of `PART_ROWS` rows, each from its own place on.

    Args:
        pictures: folder of the pictures; beside the file if not given.
        layout: what is recognised; the file's kind if not given.

    Raises:
        UserError: the file cannot be read, lists nothing, or lacks a needed column.
    """
    names: dict[str, None] = {}
    marks = [Mark()]
    count = 0
    for _, row, behind in read_rows(file, Mark()):
        count += 1
        if not isinstance(row, BadRow):
            names.update(dict.fromkeys(row))
        if count % PART_ROWS == 0:
            marks.append(behind)
    if not names:
        raise UserError(f"{file} lists no pairs.")
    columns = resolve_columns(list(names), wanted.mapping, str(file), wanted.labelled)
    folder = pictures or file.parent
    digest, size = sha256_file(file)[:12], file.stat().st_size
    parts = []
    for number, mark in enumerate(marks):
        rows = min(PART_ROWS, count - number * PART_ROWS)
        if rows:
            name = f"{file.name} ({digest}) from row {number * PART_ROWS}"
            parts.append(Part(name, partial(_pairs, file, mark, rows, columns, folder), rows, size))
    return Source(str(file.parent.resolve()), f"{layout or file.name}: {columns.layout}", parts)


def read_rows(file: Path, mark: Mark) -> Iterator[Row]:
    """Rows of a file from a place on. A row that cannot be read is a `BadRow`."""
    suffix = readable_file(file).suffix.lower()
    try:
        if suffix == ".jsonl":
            yield from _jsonl_rows(file, mark)
        elif suffix == ".json":
            yield from _json_rows(file, mark)
        else:
            yield from _csv_rows(file, mark, "\t" if suffix == ".tsv" else ",")
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror or error}.") from error


def _pairs(
    file: Path, mark: Mark, rows: int, columns: Columns, folder: Path, rejects: Rejects
) -> Iterator[Pair]:
    for number, row, _ in islice(read_rows(file, mark), rows):
        row_id = f"{file.name}:{number}"
        try:
            if isinstance(row, BadRow):
                raise row
            yield from columns.pairs(row, row_id, str(file.parent), folder)
        except BadRow as error:
            rejects.add(row_id, error)


def _jsonl_rows(path: Path, mark: Mark) -> Iterator[Row]:
    """Numbered by lines, the first is 1; a line that is no JSON object is a bad row."""
    lines = _Lines(path, mark.offset)
    number = mark.number
    for line in lines:
        number += 1
        if not line.strip():
            continue
        row: Any
        try:
            row = parse_json(line)
        except ValueError as error:
            row = BadRow("malformed row", str(error))
        else:
            if not isinstance(row, dict):
                row = BadRow("malformed row", "no JSON object")
        yield number, row, Mark(lines.offset, number)


def _csv_rows(path: Path, mark: Mark, delimiter: str) -> Iterator[Row]:
    """Numbered by lines; the header is line 1."""
    start = _Lines(path, 0)
    header = next(csv.reader(_decoded(start), delimiter=delimiter), [])
    number = mark.number or start.count
    lines = _Lines(path, mark.offset or start.offset)
    reader = csv.DictReader(_decoded(lines), fieldnames=header, restkey="", delimiter=delimiter)
    try:
        for row in reader:
            line = number + lines.count
            yield line, row, Mark(lines.offset, line)
    except csv.Error as error:
        raise UserError(f"{path} cannot be read as CSV: line {number + lines.count}: {error}.") from error


def _json_rows(path: Path, mark: Mark) -> Iterator[Row]:
    """Numbered from 0. Read as Latin-1, in which a character is a byte: so places in the file are known."""
    decoder = json.JSONDecoder()
    with path.open("rb") as file:
        file.seek(mark.offset)
        text = file.read(CHUNK).decode("latin-1")
        before, here, number = mark.offset, 0, mark.number  # `text` begins at byte `before`
        if mark.offset == 0:
            here = _BEGIN.match(text).end()  # type: ignore[union-attr]
            if not text[:here].endswith("["):
                raise UserError(f"{path} holds no JSON list of rows.")
        while True:
            here = _BETWEEN.match(text, here).end()  # type: ignore[union-attr]
            if text[here : here + 1] == "]":
                return
            try:
                _, end = decoder.raw_decode(text, here)
                if end == len(text):
                    raise ValueError("a number might go on")
            except ValueError as error:
                more = file.read(max(CHUNK, len(text)))
                if not more:
                    raise UserError(
                        f"{path} is cut or no JSON behind row {number - 1} (byte {before + here}): fetch it again."
                    ) from error
                text, before, here = text[here:] + more.decode("latin-1"), before + here, 0
                continue
            except RecursionError as error:
                raise UserError(f"{path}: row {number} is nested too deeply.") from error
            yield number, _object(text[here:end].encode("latin-1")), Mark(before + end, number + 1)
            number += 1
            here = end


def _object(raw: bytes) -> dict[str, Any] | BadRow:
    try:
        row = parse_json(raw)
    except ValueError as error:  # no UTF-8
        return BadRow("malformed row", str(error))
    return row if isinstance(row, dict) else BadRow("malformed row", "no JSON object")


class _Lines:
    """Lines of a file from an offset on, and how far they were read. A byte order mark is left out."""

    def __init__(self, path: Path, offset: int) -> None:
        self.path, self.offset, self.count = path, offset, 0

    def __iter__(self) -> Iterator[bytes]:
        with self.path.open("rb") as file:
            file.seek(self.offset)
            for line in file:
                first = self.offset == 0
                self.offset += len(line)
                self.count += 1
                yield line.removeprefix(b"\xef\xbb\xbf") if first else line


def _decoded(lines: _Lines) -> Iterator[str]:
    return (line.decode("utf-8", errors="replace") for line in lines)
