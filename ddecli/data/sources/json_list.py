"""A JSON list with a row a pair: HPDv2 and HPDv3 as they are published, with the pictures in a folder beside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ddecli.core.errors import BadRow, UserError
from ddecli.core.inside import inside
from ddecli.core.text_tables import Mark, read_rows
from ddecli.data.sources.base import Source, Wanted
from ddecli.data.sources.rows import rows_source

SPLITS = ("train", "test")
ROWS_TRIED = 100


def split_list(folder: Path, split: str | None) -> Path | None:
    """`train.json` or `test.json` of a folder that has such lists.

    Raises:
        UserError: it has, but not of that split.
    """
    there = [name for name in SPLITS if (folder / f"{name}.json").is_file()]
    if not there:
        return None
    wanted = split or there[0]
    if wanted not in there:
        raise UserError(f"{folder} has no {wanted}.json: choose --split {' or '.join(there)}.")
    return folder / f"{wanted}.json"


def json_list_source(file: Path, wanted: Wanted) -> Source:
    """The pairs of a list; of HPDv2's `test.json` every two pictures of a row that are ranked differently.

    Raises:
        UserError: the list cannot be read, or has other columns.
    """
    return rows_source(file, wanted, picture_folder(file))


def picture_folder(file: Path) -> Path:
    """What the list's file names are relative to: its folder, a folder named as the list, or `images`.

    The first of them in which a picture of the first rows is found.

    Raises:
        UserError: it is a link to a folder elsewhere.
    """
    places = (file.parent, file.parent / file.stem, file.parent / "images")
    for number, row, _ in read_rows(file, Mark()):
        if number >= ROWS_TRIED:
            break
        names = [] if isinstance(row, BadRow) else list(_texts(row.values()))
        for place in places:
            if any((place / name).is_file() for name in names):
                return _own(file, place)
    return file.parent


def _own(file: Path, place: Path) -> Path:
    """The folder of pictures, if it does not lead away from the list."""
    try:
        return inside(file.parent, place.relative_to(file.parent))
    except BadRow as error:
        raise UserError(f"The pictures of {file} are not taken from elsewhere: {error}.") from error


def _texts(values: Any) -> Any:
    """The texts among some values and lists that are short enough to name a file."""
    for value in values:
        if isinstance(value, str) and len(value) < 256 and "\0" not in value:
            yield value
        elif isinstance(value, list):
            yield from _texts(value)
