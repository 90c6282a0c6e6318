"""Text files of rows: CSV, TSV, JSON Lines, or a JSON list. Every command reads them here.

A line ends with LF or CRLF and with nothing else: U+2028, U+0085, form feeds and the like are part of a text, and so
are line breaks in a quoted cell. Files are read as a stream, from any place between two rows on.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ddecli.core.encoding import HEAD, check_head, decode_lines
from ddecli.core.errors import BadRow, UserError
from ddecli.core.parsing import check_shape, parse_json
from ddecli.core.paths import readable_file

SUFFIXES = (".csv", ".tsv", ".jsonl", ".json")
CHUNK = 2**20
LONGEST_CELL = 2**26
"""Characters of a CSV cell, which may be a picture in base64; csv's own limit is 131,072."""
csv.field_size_limit(LONGEST_CELL)

_MARK = b"\xef\xbb\xbf"
_BEGIN = re.compile(r"(\xef\xbb\xbf)?\s*\[?")
_BETWEEN = re.compile(r"[ \t\r\n,]*")
_DELIMITERS = ",;\t|"


@dataclass(frozen=True)
class Mark:
    """A place between two rows: bytes before it, and the number that the next row counts from."""

    offset: int = 0
    number: int = 0


Item = tuple[int, Any, Mark]
"""A row's number, the row, and the place behind it."""


def read_rows(file: Path, mark: Mark = Mark()) -> Iterator[tuple[int, dict[str, Any] | BadRow, Mark]]:
    """Rows of a file from a place on. A row that cannot be read is a `BadRow`.

    Raises:
        UserError: the file is not UTF-8, is cut, or is damaged so that rows cannot be told apart.
    """
    for number, item, behind in read_items(file, mark):
        if not isinstance(item, dict | BadRow):
            item = BadRow("malformed row", "no JSON object")
        yield number, item, behind


def read_items(file: Path, mark: Mark = Mark()) -> Iterator[Item]:
    """The same, where an item of JSON may be anything."""
    suffix = readable_file(file).suffix.lower()
    try:
        with file.open("rb") as content:
            check_head(content.read(HEAD), str(file))
        if suffix == ".jsonl":
            yield from _jsonl_items(file, mark)
        elif suffix == ".json":
            yield from _json_items(file, mark)
        else:
            yield from _csv_rows(file, mark)
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror or error}.") from error


def read_records(file: Path, way_out: str, shape: Any = dict[str, Any]) -> list[dict[str, Any]]:
    """All rows of a file that this program wrote.

    Args:
        way_out: what to do if it is damaged, as in "score the images again".
        shape: types that each row should be made of, see `check_shape`.

    Raises:
        UserError: one is damaged; it ends with the way out.
    """
    rows = []
    for number, row, _ in read_rows(file):
        try:
            if isinstance(row, BadRow):
                raise row
            check_shape(row, shape)
        except (BadRow, ValueError) as error:
            raise UserError(f"{file} is damaged at {place(file, number)} ({error}): {way_out}.") from error
        rows.append(row)
    return rows


def place(file: Path, number: int) -> str:
    """Where a row stands, for people."""
    return f"item {number + 1}" if file.suffix.lower() == ".json" else f"line {number}"


def _jsonl_items(path: Path, mark: Mark) -> Iterator[Item]:
    """Numbered by lines, the first is 1; a line that is no JSON is a bad row."""
    lines = _Lines(path, mark.offset)
    number = mark.number
    for line in lines:
        number += 1
        if line.strip():
            yield number, _parsed(decode_lines(line, str(path), number)), Mark(lines.offset, number)


def _parsed(text: str) -> Any:
    """A JSON value, or the `BadRow` that says why it is none."""
    try:
        return parse_json(text)
    except ValueError as error:
        return BadRow("malformed row", str(error))


@dataclass(frozen=True)
class _Dialect:
    """How a CSV file is written. `padded`: with spaces around its cells, which are no part of them."""

    delimiter: str
    quoted: bool
    padded: bool
    header: list[str]

    @property
    def options(self) -> dict[str, Any]:
        quoting = csv.QUOTE_MINIMAL if self.quoted else csv.QUOTE_NONE
        return {"delimiter": self.delimiter, "quoting": quoting, "skipinitialspace": self.padded}

    def row(self, cells: list[str]) -> dict[str, Any] | BadRow:
        """A row from its cells. Empty ones behind the last column are left out, missing ones are None."""
        if self.padded:
            cells = [cell.strip() for cell in cells]
        here, beyond = cells[: len(self.header)], cells[len(self.header) :]
        if any(beyond):
            return BadRow(
                "malformed row",
                f"{len(cells)} cells for {len(self.header)} columns: put a text that has {self.delimiter!r} in it in "
                "quotation marks",
            )
        return dict(zip(self.header, [*here, *[None] * (len(self.header) - len(here))], strict=True))


def _csv_rows(path: Path, mark: Mark) -> Iterator[Item]:
    """Numbered by the lines they end on; the header is line 1. An empty line is no row."""
    start = _Lines(path, 0)
    lines = start
    number = 0
    try:
        dialect = _dialect(path, start)
        number = mark.number or start.count
        lines = _Lines(path, mark.offset or start.offset)
        for cells in csv.reader(lines.decoded(number), **dialect.options):
            line = number + lines.count
            if lines.exhausted:
                raise _unclosed(path, line)
            if cells:
                yield line, dialect.row(cells), Mark(lines.offset, line)
    except csv.Error as error:
        raise UserError(
            f"{path} cannot be read as CSV: line {number + lines.count}: {_csv_reason(error)}."
        ) from error


def _unclosed(path: Path, line: int) -> UserError:
    return UserError(
        f"{path} has a quotation mark that is not closed, in the row that ends with line {line}: close it, or put the "
        "cell in quotation marks and double it where it is part of the text."
    )


def _csv_reason(error: csv.Error) -> str:
    if "new-line character" in str(error):
        return (
            "it has a CR where a line should end with LF or CRLF (old Macs wrote that); `tr '\\r' '\\n' < FILE > NEW` "
            "converts it"
        )
    if "field limit" in str(error):
        return f"a cell has more than {LONGEST_CELL:,} characters: is a quotation mark not closed?"
    return str(error)


def _dialect(path: Path, lines: _Lines) -> _Dialect:
    """How a file is written, by its header, which is read from `lines`.

    The delimiter is a comma (of .tsv a tab) if the header has one, else the one that gives most columns.
    """
    own = "\t" if path.suffix.lower() == ".tsv" else ","
    decoded = lines.decoded(0)
    first = next((line for line in decoded if line.strip()), "")
    columns = {each: len(next(csv.reader([first], delimiter=each), [])) for each in _DELIMITERS}
    delimiter = own if columns[own] > 1 else max((own, *_DELIMITERS), key=lambda each: columns[each])
    whole = csv.reader(_chain(first, decoded), delimiter=delimiter)
    cells = next(whole, [])
    if cells and lines.exhausted:
        raise _unclosed(path, 1)
    header = [cell.strip() for cell in cells]
    padded = any(cell.startswith(" ") for cell in cells[1:])
    quoted = own == "," or _all_quoted(path, delimiter, path.stat().st_mtime_ns)
    return _Dialect(delimiter, quoted, padded, header)


def _chain(first: str, others: Iterator[str]) -> Iterator[str]:
    yield first
    yield from others


@lru_cache
def _all_quoted(path: Path, delimiter: str, changed: int) -> bool:
    """Whether every cell of a .tsv that begins with a quotation mark is one in quotation marks.

    Programs disagree: pandas and spreadsheets write them as in CSV, others (PartiPrompts.tsv) take them for text.
    """
    try:
        for _ in csv.reader(_Lines(path, 0).decoded(0), delimiter=delimiter, strict=True):
            pass
    except csv.Error:
        return False
    return True


def _json_items(path: Path, mark: Mark) -> Iterator[Item]:
    """Numbered from 0. Read as Latin-1, in which a character is a byte: so places in the file are known."""
    decoder = json.JSONDecoder()
    with path.open("rb") as file:
        file.seek(mark.offset)
        text = file.read(CHUNK).decode("latin-1")
        before, here, number = mark.offset, 0, mark.number  # `text` begins at byte `before`
        if mark.offset == 0:
            here = _BEGIN.match(text).end()  # type: ignore[union-attr]
            if not text[:here].endswith("["):
                raise UserError(f"{path} holds no JSON list.")
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
            raw = text[here:end].encode("latin-1")
            where = f"{path}, item {number + 1},"
            yield number, _parsed(decode_lines(raw, where, 1)), Mark(before + end, number + 1)
            number += 1
            here = end


class _Lines:
    """Lines of a file from an offset on, and how far they were read. A byte order mark is left out.

    exhausted: whether a line was asked for behind the last one.
    """

    def __init__(self, path: Path, offset: int) -> None:
        self.path, self.offset, self.count, self.exhausted = path, offset, 0, False

    def __iter__(self) -> Iterator[bytes]:
        with self.path.open("rb") as file:
            file.seek(self.offset)
            for line in file:
                first = self.offset == 0
                self.offset += len(line)
                self.count += 1
                yield line.removeprefix(_MARK) if first else line
        self.exhausted = True

    def decoded(self, before: int) -> Iterator[str]:
        """The same as text; `before` lines are before them."""
        for line in self:
            yield decode_lines(line, str(self.path), before + self.count)
