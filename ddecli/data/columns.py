"""From a table's columns to pairs: the names people use, and the layouts of a preference.

The preferred picture is named (`prompt, chosen, rejected`: TRL, imagefolder, HPDv3), or two pictures have a
label or votes (`caption, jpg_0, jpg_1, label_0`: Pick-a-Pic; Rapidata), or a list of pictures has a list of
marks or ranks (HPDv2).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from ddecli.core.errors import BadRow, UserError
from ddecli.core.inside import inside
from ddecli.core.text import is_text
from ddecli.data.pairs import NOT_DIFFERENT, NOT_LABELLED, TIE, ImageRef, Pair

ALIASES: dict[str, tuple[str, ...]] = {
    "prompt": ("prompt", "caption", "text", "prompt_text", "txt"),
    "chosen": ("chosen", "chosen_file_name", "image_w", "image_win", "winner", "preferred", "path1", "w"),
    "rejected": (
        "rejected",
        "rejected_file_name",
        "image_l",
        "image_lose",
        "loser",
        "dispreferred",
        "path2",
        "l",
    ),
    "image_0": ("jpg_0", "image_0", "image1", "0"),
    "image_1": ("jpg_1", "image_1", "image2", "1"),
    "label_0": ("label_0", "weighted_results_image1_preference"),
    "votes_0": ("votes_0", "votes_image1"),
    "votes_1": ("votes_1", "votes_image2"),
    "images": ("images", "file_path", "image_path"),
    "marks": ("marks", "human_preference"),
    "ranks": ("ranks", "rank"),
    "are_different": ("are_different",),
    "has_label": ("has_label",),
}
"""Canonical column -> names it is found under, upper or lower case.

`label_0` is the preference for the first picture, 0 to 1; `votes_0` and `votes_1` count the votes for each;
`marks` has 1 at the preferred of two `images`; `ranks` orders any number of them, the smallest is the best.

Columns whose meaning differs between data sets ("label", "preference") are not guessed: an inverted label
trains the opposite of what people chose. Name them with `--columns label_0=...`.
"""

LAYOUTS = (
    ("prompt", "chosen", "rejected"),
    ("prompt", "image_0", "image_1", "label_0"),
    ("prompt", "image_0", "image_1", "votes_0", "votes_1"),
    ("prompt", "images", "marks"),
    ("prompt", "images", "ranks"),
)
UNLABELLED = (("prompt", "image_0", "image_1"), ("prompt", "images"))
"""Layouts that will do where a scorer decides."""

DATA_SETS = {
    "jpg_0": "Pick-a-Pic",
    "path1": "HPDv3",
    "human_preference": "HPDv2",
    "weighted_results_image1_preference": "Rapidata",
    "votes_image1": "Rapidata",
}
"""Columns that give a data set away."""


@dataclass(frozen=True)
class Columns:
    """Where each canonical column is found in one table: canonical name -> actual name."""

    actual: dict[str, str]
    labelled: bool = True

    @property
    def names(self) -> list[str]:
        """The actual columns to read, and no others."""
        return list(dict.fromkeys(self.actual.values()))

    @property
    def layout(self) -> str:
        """The layout, for people."""
        known = (DATA_SETS[name.lower()] for name in self.names if name.lower() in DATA_SETS)
        return next(known, "") or ", ".join(self.actual)

    def pairs(self, row: Mapping[str, Any], row_id: str, source: str, folder: Path | None) -> Iterator[Pair]:
        """Turn one row into its pair, or into one for every two pictures that are ranked differently.

        Args:
            row: actual column -> value.
            folder: file names in the row are relative to it and may not leave it; None: there may be none.

        Raises:
            BadRow: the row holds no usable preference.
        """
        values = {canonical: row.get(actual) for canonical, actual in self.actual.items()}
        if self.labelled and _is_no(values.get("has_label")):
            raise BadRow(NOT_LABELLED)
        if _is_no(values.get("are_different")):
            raise BadRow(NOT_DIFFERENT)
        prompt = values["prompt"]
        if not isinstance(prompt, str) or not prompt.strip():
            raise BadRow("empty prompt")
        if not is_text(prompt):
            raise BadRow("prompt is no Unicode text", "it holds half of a surrogate pair")
        orders = list(self._orders(values))
        for number, (chosen, rejected) in enumerate(orders):
            pair_id = row_id if len(orders) == 1 else f"{row_id}#{number}"
            yield Pair(prompt, _image(*chosen, folder), _image(*rejected, folder), pair_id, source)

    def _orders(self, values: dict[str, Any]) -> Iterator[tuple[tuple[Any, str], tuple[Any, str]]]:
        """Pairs of (cell, column), the preferred one first."""
        if "chosen" in values:
            yield (values["chosen"], self.actual["chosen"]), (values["rejected"], self.actual["rejected"])
            return
        if "images" in values:
            yield from self._of_list(values)
            return
        both = [(values[name], self.actual[name]) for name in ("image_0", "image_1")]
        if not self.labelled:
            first_won = True
        elif "label_0" in values:
            first_won = _first_won(values["label_0"])
        else:
            first, second = (_number(values[name]) for name in ("votes_0", "votes_1"))
            if min(first, second) < 0:
                raise BadRow("negative votes")
            first_won = _first_won(first / (first + second) if first + second else None)
        yield (both[0], both[1]) if first_won else (both[1], both[0])

    def _of_list(self, values: dict[str, Any]) -> Iterator[tuple[tuple[Any, str], tuple[Any, str]]]:
        images = values["images"]
        if not isinstance(images, Sequence) or isinstance(images, str | bytes) or len(images) < 2:
            raise BadRow("missing image", f"column {self.actual['images']} lists no two pictures")
        cells = [(image, self.actual["images"]) for image in images]
        chosen = list(combinations(range(len(cells)), 2))
        if self.labelled:
            order = self._order(values, len(cells))
            chosen = [
                (first, second) if order[first] < order[second] else (second, first)
                for first, second in chosen
                if order[first] != order[second]
            ]
        if not chosen:
            raise BadRow(TIE)
        for better, worse in chosen:
            yield cells[better], cells[worse]

    def _order(self, values: dict[str, Any], count: int) -> list[float]:
        """A number for each of a list's pictures; the smallest is the best."""
        kind, sign = ("ranks", 1) if "ranks" in values else ("marks", -1)
        numbers = values[kind]
        if not isinstance(numbers, Sequence) or len(numbers) != count:
            raise BadRow("malformed row", f"{self.actual[kind]} has not one number a picture")
        return [sign * _number(number) for number in numbers]


def resolve_columns(
    found: Sequence[str], mapping: Mapping[str, str], where: str, labelled: bool = True
) -> Columns:
    """Find the canonical columns among a table's columns.

    Args:
        found: the table's column names.
        mapping: canonical -> actual names given by the user; they win over the aliases.
        where: the table's name, for the error.
        labelled: False where a scorer decides: a label is not needed, and not looked at if it is there.

    Raises:
        UserError: a needed column is missing, or the mapping names a column that is not there.
    """
    by_lower = {name.lower(): name for name in reversed(found)}
    actual: dict[str, str] = {}
    for canonical, name in mapping.items():
        if canonical not in ALIASES:
            raise UserError(f"--columns {canonical}={name}: {canonical!r} is none of {', '.join(ALIASES)}.")
        if name not in found:
            raise UserError(
                f"--columns {canonical}={name}: {where} has no column {name!r}, only {_list(found)}."
            )
        actual[canonical] = name
    for canonical, aliases in ALIASES.items():
        match = next((by_lower[alias] for alias in aliases if alias in by_lower), None)
        if match is not None:
            actual.setdefault(canonical, match)
    for layout in LAYOUTS if labelled else (LAYOUTS[0], *UNLABELLED):
        if all(name in actual for name in layout):
            wanted = {*layout, "are_different", "has_label"}
            return Columns({name: actual[name] for name in actual if name in wanted}, labelled)
    raise UserError(
        f"{where} has columns {_list(found)}; needed are prompt, chosen, rejected "
        "or prompt, image_0, image_1, label_0. Name them with --columns prompt=... chosen=... rejected=..."
    )


def parse_mapping(options: Sequence[str]) -> dict[str, str]:
    """Read `--columns` options: each `canonical=actual`, or several separated by commas.

    Raises:
        UserError: an entry without `=`.
    """
    mapping: dict[str, str] = {}
    for entry in (part for option in options for part in option.split(",")):
        canonical, equals, actual = entry.partition("=")
        if not equals or not actual:
            raise UserError(f"--columns {entry}: write it as canonical=actual, for example prompt=caption.")
        mapping[canonical.strip()] = actual.strip()
    return mapping


def _is_no(value: Any) -> bool:
    """False, also as CSV files write it; nothing is not no."""
    return value is not None and str(value).strip().lower() in {"false", "0", "0.0"}


def _number(value: Any) -> float:
    """A label, vote or rank.

    Raises:
        BadRow: it is none.
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if math.isnan(number):
        raise BadRow(NOT_LABELLED)
    return number


def _first_won(label: Any) -> bool:
    value = _number(label)
    if not 0 <= value <= 1:
        raise BadRow("label outside 0 to 1", f"{value:g}")
    if value == 0.5:
        raise BadRow(TIE)
    return value > 0.5


def _image(value: Any, column: str, folder: Path | None) -> ImageRef:
    """A picture cell: bytes, `{"bytes", "path"}` (as `datasets` writes), or a file name."""
    if isinstance(value, Mapping):
        value = value.get("bytes") or value.get("path")
    if isinstance(value, bytes) and value:
        return value
    if not isinstance(value, str) or not value:
        raise BadRow("missing image", f"column {column} is empty")
    if folder is None:
        raise BadRow("missing image", f"column {column} names the file {value}, which is not in the shard")
    return inside(folder, value)


def _list(names: Sequence[str], most: int = 20) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")
