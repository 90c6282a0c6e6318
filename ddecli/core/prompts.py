"""Lists of prompts: every command reads them here, whatever their format."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ddecli.core.encoding import read_text
from ddecli.core.errors import BadRow, UserError, read_by_others
from ddecli.core.paths import readable_file
from ddecli.core.text_tables import SUFFIXES, place, read_items

COLUMNS = ("prompt", "caption", "text")
"""Names of the column of prompts that are looked for, upper or lower case."""
GROUPS = ("category", "challenge", "style", "tag", "atom_count")
"""Names of the columns that say what kind of prompt one is, upper or lower case."""


@dataclass(frozen=True)
class PromptRow:
    """A prompt as its list has it, and what the list says of it.

    about: an object of JSON whole, of a table the cells of `GROUPS`; nothing of a bare prompt.
    """

    prompt: str
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def groups(self) -> dict[str, str]:
        """Of which kind the prompt is, by the name of the division in lower case."""
        return {
            name.lower(): str(value)
            for name, value in self.about.items()
            if name.lower() in GROUPS
            and isinstance(value, str | int)
            and not isinstance(value, bool)
            and value != ""
        }


def read_prompts(path: Path, columns: Sequence[str] = COLUMNS) -> list[str]:
    """The prompts of a file in their order, empty ones included: see `read_prompt_rows`."""
    return [row.prompt for row in read_prompt_rows(path, columns)]


def read_prompt_rows(path: Path, columns: Sequence[str] = COLUMNS) -> list[PromptRow]:
    """Read the prompts of a file in their order, empty ones included.

    By its suffix it is a table (.parquet, .csv, .tsv), a list of texts or objects (.json), an object a line (.jsonl),
    or else a prompt a line, which ends with LF, CRLF or CR.

    Args:
        columns: names of the column, or of the objects' key; the first that is there is taken.

    Raises:
        UserError: the file is missing or damaged, is not UTF-8, or has no such column.
    """
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return _parquet(path, columns)
    if suffix in SUFFIXES:
        return [
            _of_item(item, f"{path}, {place(path, number)}", columns, suffix in (".json", ".jsonl"))
            for number, item, _ in read_items(path)
        ]
    return [PromptRow(line) for line in lines_of(path)]


def lines_of(path: Path) -> list[str]:
    """The lines of a text, which end with LF, CRLF or CR."""
    return [line.removesuffix("\n") for line in io.StringIO(read_text(path), newline=None)]


def column_of(found: Sequence[str], columns: Sequence[str]) -> str | None:
    """The actual name of the column of prompts, None if there is none."""
    by_lower = {name.lower(): name for name in reversed(found)}
    return next((by_lower[name.lower()] for name in columns if name.lower() in by_lower), None)


def _column(found: Sequence[str], columns: Sequence[str], where: str) -> str:
    name = column_of(found, columns)
    if name is None:
        raise UserError(f"{where} has columns {', '.join(found)}; none is called {' or '.join(columns)}.")
    return name


def _parquet(path: Path, columns: Sequence[str]) -> list[PromptRow]:
    import pyarrow.parquet as pq

    with (
        read_by_others(f"{path} cannot be read as parquet", "write the table again"),
        pq.ParquetFile(readable_file(path)) as file,
    ):
        names = file.schema_arrow.names
        column = _column(names, columns, str(path))
        read = file.read([column])[column]  # pictures, which may be in other columns, are not read
        groups = [name for name in names if name.lower() in GROUPS and names.count(name) == 1]
        about = file.read(groups).to_pylist() if groups else [{}] * len(read)
    try:
        values = read.to_pylist()
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} holds a prompt that is not UTF-8: write the table again, from text."
        ) from error
    return [
        PromptRow(_prompt(value, f"{path}, row {number}"), row)
        for number, (value, row) in enumerate(zip(values, about, strict=True), 1)
    ]


def _of_item(item: Any, where: str, columns: Sequence[str], whole: bool) -> PromptRow:
    """A row of a file; `whole` keeps every key of an object."""
    if isinstance(item, BadRow):
        raise UserError(f"{where}: {item}.")
    if not isinstance(item, dict):
        return PromptRow(_prompt(item, where))
    column = _column([str(key) for key in item], columns, where)
    about = {name: value for name, value in item.items() if whole or str(name).lower() in GROUPS}
    return PromptRow(_prompt(item[column], where), about)


def _prompt(value: Any, where: str) -> str:
    """A text; what is missing counts as empty."""
    if value is not None and not isinstance(value, str):
        raise UserError(f"{where}: the prompt must be a text, not {type(value).__name__}.")
    return value or ""
