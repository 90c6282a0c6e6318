"""What people write to say which of two pictures was preferred: labels, votes, the name of the winner, ranks."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from ddecli.core.errors import BadRow
from ddecli.core.parsing import parse_json
from ddecli.data.pairs import NOT_LABELLED, TIE

UNREADABLE = "unreadable label"
Names = tuple[Sequence[str], Sequence[str]]
"""What the first and the second picture of a row are called: their columns, then their models and files."""
_NOTHING = {"", "nan", "none", "null"}
_WORDS = {
    "true": 1.0,
    "win": 1.0,
    "won": 1.0,
    "false": 0.0,
    "lose": 0.0,
    "lost": 0.0,
    "tie": 0.5,
    "draw": 0.5,
}
_YES = {
    "true": True,
    "1": True,
    "1.0": True,
    "yes": True,
    "false": False,
    "0": False,
    "0.0": False,
    "no": False,
}
_SIDES = (
    {"left", "a", "first", "model_a", "image_a", "left_image", "leftvote"},
    {"right", "b", "second", "model_b", "image_b", "right_image", "rightvote"},
)
_TIES = {"tie", "draw", "both", "neither", "bothbad", "tievote"}
_NUMBERED = re.compile(r"(image|img|picture|pic|jpg|png|file|option|model)?[ _-]?(?P<end>[0-9]+|[ab])")


def says_no(value: Any, column: str) -> bool:
    """Whether a cell says no, as `has_label` does; nothing is not no.

    Raises:
        BadRow: it says neither yes nor no.
    """
    word = _word(value)
    if word in _NOTHING:
        return False
    if word not in _YES:
        raise BadRow(UNREADABLE, f"column {column} says {_short(value)}, neither yes nor no")
    return not _YES[word]


def number(value: Any, column: str, words: Mapping[str, float] = {}) -> float:
    """A label, vote or rank.

    Args:
        words: those that stand for a number.

    Raises:
        BadRow: it is none; `NOT_LABELLED` where there is nothing.
    """
    word = _word(value)
    if word in _NOTHING:
        raise BadRow(NOT_LABELLED)
    try:
        found = words[word] if word in words else float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not math.isfinite(found):
        raise BadRow(UNREADABLE, f"column {column} says {_short(value)}")
    return found


def share_of_first(label: Any, column: str) -> float:
    """How far the first picture won, 0 to 1 and not 1/2, by a label for it: such a number, True or False, win or lose.

    Raises:
        BadRow: it is a tie, or no such label.
    """
    value = number(label, column, _WORDS)
    if not 0 <= value <= 1:
        raise BadRow("label outside 0 to 1", f"{value:g}")
    if value == 0.5:
        raise BadRow(TIE)
    return value


def share_of_votes(votes: tuple[Any, Any], column: str) -> float:
    """The first picture's share of the votes, not 1/2.

    Raises:
        BadRow: it is a tie, or nobody voted.
    """
    first, second = (number(each, column) for each in votes)
    if min(first, second) < 0:
        raise BadRow("negative votes")
    if not first and not second:
        raise BadRow(NOT_LABELLED)
    if first == second:
        raise BadRow(TIE)
    most = max(first, second)
    share = first / most / (first / most + second / most)
    # Numbers that differ by less than a share can tell are no tie.
    return max(share, math.nextafter(0.5, 1)) if first > second else min(share, math.nextafter(0.5, 0))


def votes_of(cell: Any, column: str, names: Names) -> tuple[Any, Any] | None:
    """The votes for the first and the second picture in one cell: `[9, 3]`, `{"image1": 9, "image2": 3}`, or either as
    JSON. None if it is empty.

    Raises:
        BadRow: it holds no two votes, or does not say whose they are.
    """
    if isinstance(cell, str) and cell.strip():
        try:
            cell = parse_json(cell)
        except ValueError:
            raise BadRow(UNREADABLE, f"column {column} says {_short(cell)}, which is no JSON") from None
    if _word(cell) in _NOTHING:
        return None
    if isinstance(cell, Mapping):
        sides = [side_of(key, names, column) for key in cell]
        if sorted(sides, key=str) != [0, 1]:
            raise BadRow(UNREADABLE, f"column {column} does not say whose votes are {_short(cell)}")
        cell = [votes for _, votes in sorted(zip(sides, cell.values(), strict=True))]
    if not isinstance(cell, Sequence) or isinstance(cell, str | bytes) or len(cell) != 2:
        raise BadRow(UNREADABLE, f"column {column} holds no two votes but {_short(cell)}")
    return cell[0], cell[1]


def side_of(value: Any, names: Names, column: str) -> int | None:
    """Which picture a cell names: 0, 1, or None for a tie.

    By its column (`image0`) or the end of it (`0`), by its model or file, or by left and right, a and b, first and
    second.

    Raises:
        BadRow: it names none; `NOT_LABELLED` where there is nothing.
    """
    word = _word(value)
    if word in _NOTHING:
        raise BadRow(NOT_LABELLED)
    plain = re.sub(r"[ _()-]", "", word)
    called = [{name.lower() for name in each} for each in names]
    ends = [{_end(column.lower())} - {""} for column, *_ in names]
    files = [_without_folders(each) for each in called]
    found: list[int] = next(
        (
            sides
            for known, said in (
                (called, {word}),
                (ends, {_end(word.removesuffix(".0"))}),
                (files, _without_folders({word})),
                (_SIDES, {word}),
            )
            if (sides := [side for side in (0, 1) if said & known[side]])
        ),
        [],
    )
    if not found and (plain in _TIES or plain.startswith(("tie", "both"))):
        return None
    if len(found) != 1:
        raise BadRow(
            UNREADABLE, f"column {column} says {_short(value)}, which names none of the two pictures"
        )
    return found[0]


def _without_folders(names: set[str]) -> set[str]:
    """Names of files without their folders, with and without their endings."""
    paths = [PurePosixPath(name) for name in names]
    return {part for path in paths for part in (path.name, path.stem)}


def _end(name: str) -> str:
    """What stands at the end of a numbered name, such as 0 of `image_0.png`."""
    match = _NUMBERED.fullmatch(PurePosixPath(name).stem)
    return match["end"] if match else ""


def _word(value: Any) -> str:
    return "" if value is None else str(value).strip().lower()


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
