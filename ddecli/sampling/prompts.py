"""Where prompts come from: a file in one of the usual formats, or a list; duplicates and empty lines go."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ddecli.core.errors import UserError
from ddecli.core.files import sha256_text
from ddecli.core.parsing import parse_json
from ddecli.core.paths import readable_file
from ddecli.core.protocol import clean_prompt
from ddecli.core.text import is_text

COLUMNS = ("prompt", "caption", "text")
"""Names of the column of prompts that are looked for, upper or lower case."""


@dataclass(frozen=True)
class PromptSet:
    """Distinct prompts in a fixed order.

    `empty` and `duplicates` count the lines that were left out.
    """

    name: str
    prompts: tuple[str, ...]
    empty: int = 0
    duplicates: int = 0

    @property
    def sha256(self) -> str:
        """SHA-256 of the prompts in order, one a line."""
        return sha256_text("\n".join(self.prompts))


def make_prompt_set(name: str, prompts: Iterable[str], first: int | None = None) -> PromptSet:
    """Clean the prompts' spaces, drop empty and repeated ones, and keep the `first` of them (all when None).

    Raises:
        UserError: no prompt is left.
    """
    lines = [clean_prompt(prompt) for prompt in prompts]
    for number, line in enumerate(lines, 1):
        if not is_text(line):
            raise UserError(
                f"{name}: prompt {number} is no Unicode text, it holds half of a surrogate pair: {line[:60]}"
            )
    distinct = dict.fromkeys(line for line in lines if line)
    if not distinct:
        raise UserError(
            f"{name} has no prompt that is not empty. Give a file with one prompt a line, or --prompt TEXT."
        )
    empty = sum(not line for line in lines)
    return PromptSet(name, tuple(distinct)[:first], empty, len(lines) - empty - len(distinct))


def read_prompts(path: Path, columns: Sequence[str] = COLUMNS) -> list[str]:
    """Read the prompts of a file, empty ones included.

    By its suffix it is a table (.parquet, .csv, or .tsv whose quotation marks are part of the text), a list
    of texts or objects (.json), an object a line (.jsonl), or else a prompt a line.

    Args:
        columns: names of the column, or of the objects' key; the first that is there is taken.

    Raises:
        UserError: the file is missing or damaged, or has no such column.
    """
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return _parquet(path, columns)
    text = _text(path)
    if suffix in (".json", ".jsonl"):
        return [_of_item(item, where, columns) for where, item in _records(text, path)]
    if suffix in (".csv", ".tsv"):
        return _table(text, path, columns)
    return text.splitlines()


def _text(path: Path) -> str:
    if not path.exists():
        raise UserError(
            f"Prompt file {path} does not exist. Give a file, world:validation, world:test, or one of the sets that "
            "`ddecli sample --help` names."
        )
    try:
        return readable_file(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"Prompt file {path} is not UTF-8 text: {error}. Save it as UTF-8.") from error
    except OSError as error:
        raise UserError(f"Prompt file {path} cannot be read: {error.strerror or error}.") from error


def _column(found: Sequence[str], columns: Sequence[str], path: Path) -> str:
    """The actual name of the column of prompts."""
    by_lower = {name.lower(): name for name in reversed(found)}
    for name in columns:
        if name.lower() in by_lower:
            return by_lower[name.lower()]
    raise UserError(f"{path} has columns {', '.join(found)}; none is called {' or '.join(columns)}.")


def _parquet(path: Path, columns: Sequence[str]) -> list[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(readable_file(path)) as file:
            column = _column(file.schema_arrow.names, columns, path)
            values = file.read([column])[column].to_pylist()  # no other column: those may be pictures
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"Prompt file {path} cannot be read as parquet: {error}.") from error
    return [_prompt(value, f"{path}, row {number}") for number, value in enumerate(values, 1)]


def _table(text: str, path: Path, columns: Sequence[str]) -> list[str]:
    tabs = path.suffix.lower() == ".tsv"
    dialect: dict[str, Any] = {"delimiter": "\t", "quoting": csv.QUOTE_NONE} if tabs else {}
    rows = csv.DictReader(io.StringIO(text, newline=""), **dialect)
    column = _column(rows.fieldnames or [], columns, path)
    try:
        return [row[column] or "" for row in rows]
    except csv.Error as error:
        raise UserError(f"{path}, line {rows.line_num}: {error}.") from error


def _records(text: str, path: Path) -> Iterator[tuple[str, Any]]:
    """What a .json or .jsonl file lists, each with the place where it stands."""
    if path.suffix.lower() == ".json":
        items = _parsed(text, f"Prompt file {path} is not")
        if not isinstance(items, list):
            raise UserError(f"{path} must be a JSON list of prompts, not {type(items).__name__}.")
        yield from ((f"{path}, item {number}", item) for number, item in enumerate(items, 1))
        return
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            item = _parsed(line, f"{path}, line {number}: each line must be")
            if not isinstance(item, dict):
                raise UserError(f"{path}, line {number}: each line must be a JSON object with a prompt.")
            yield f"{path}, line {number}", item


def _parsed(text: str, refusal: str) -> Any:
    try:
        return parse_json(text)
    except ValueError as error:
        raise UserError(f"{refusal} JSON: {error}.") from error


def _of_item(item: Any, where: str, columns: Sequence[str]) -> str:
    if isinstance(item, dict):
        keys = {str(key).lower(): key for key in reversed(item)}
        key = next((keys[name.lower()] for name in columns if name.lower() in keys), None)
        if key is None:
            raise UserError(f"{where} has none of the keys {', '.join(columns)}.")
        item = item[key]
    return _prompt(item, where)


def _prompt(value: Any, where: str) -> str:
    """A text; what is missing counts as empty."""
    if value is not None and not isinstance(value, str):
        raise UserError(f"{where}: the prompt must be a text, not {type(value).__name__}.")
    return value or ""
