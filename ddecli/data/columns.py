"""From a table's columns to pairs: the names people use, and the two layouts of a preference.

Layout 1 names the preferred picture (`prompt, chosen, rejected`, as TRL and imagefolder data sets do);
layout 2 labels two pictures (`caption, jpg_0, jpg_1, label_0`, as Pick-a-Pic does).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ddecli.core.errors import BadRow, UserError
from ddecli.data.pairs import NOT_DIFFERENT, NOT_LABELLED, TIE, ImageRef, Pair

ALIASES: dict[str, tuple[str, ...]] = {
    "prompt": ("prompt", "caption", "text", "prompt_text"),
    "chosen": ("chosen", "chosen_file_name", "image_w", "image_win", "winner", "preferred", "path1"),
    "rejected": ("rejected", "rejected_file_name", "image_l", "image_lose", "loser", "dispreferred", "path2"),
    "image_0": ("jpg_0", "image_0", "image1"),
    "image_1": ("jpg_1", "image_1", "image2"),
    "label_0": ("label_0", "weighted_results_image1_preference"),
    "are_different": ("are_different",),
    "has_label": ("has_label",),
}
"""Canonical column -> names it is found under, upper or lower case.

Columns whose meaning differs between data sets ("label", "preference") are not guessed: an inverted label
trains the opposite of what people chose. Name them with `--columns label_0=...`.
"""

LAYOUTS = (("prompt", "chosen", "rejected"), ("prompt", "image_0", "image_1", "label_0"))


@dataclass(frozen=True)
class Columns:
    """Where each canonical column is found in one table: canonical name -> actual name."""

    actual: dict[str, str]

    @property
    def names(self) -> list[str]:
        """The actual columns to read, and no others."""
        return list(dict.fromkeys(self.actual.values()))

    def pair(self, row: Mapping[str, Any], row_id: str, source: str, folder: Path) -> Pair:
        """Turn one row into a pair; file names in it are relative to `folder` and may not leave it.

        `label_0` is the preference for the first picture: above 1/2 it won, below it lost, 1/2 is a tie.

        Raises:
            BadRow: the row holds no usable preference.
        """
        values = {canonical: row.get(actual) for canonical, actual in self.actual.items()}
        if values.get("has_label") is False:
            raise BadRow(NOT_LABELLED)
        if values.get("are_different") is False:
            raise BadRow(NOT_DIFFERENT)
        if "label_0" in self.actual:
            first_won = _first_won(values["label_0"])
            sides = ("image_0", "image_1") if first_won else ("image_1", "image_0")
        else:
            sides = ("chosen", "rejected")
        prompt = values["prompt"]
        if not isinstance(prompt, str) or not prompt.strip():
            raise BadRow("empty prompt")
        chosen, rejected = (_image(values[side], self.actual[side], folder) for side in sides)
        return Pair(prompt, chosen, rejected, row_id, source)


def resolve_columns(found: Sequence[str], mapping: Mapping[str, str], where: str) -> Columns:
    """Find the canonical columns among a table's columns.

    Args:
        found: the table's column names.
        mapping: canonical -> actual names given by the user; they win over the aliases.
        where: the table's name, for the error.

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
    for layout in LAYOUTS:
        if all(name in actual for name in layout):
            wanted = {*layout, "are_different", "has_label"}
            return Columns({name: actual[name] for name in actual if name in wanted})
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


def _first_won(label: Any) -> bool:
    try:
        value = float(label)
    except (TypeError, ValueError):
        value = math.nan
    if label is None or math.isnan(value):
        raise BadRow(NOT_LABELLED)
    if not 0 <= value <= 1:
        raise BadRow("label outside 0 to 1", f"{value:g}")
    if value == 0.5:
        raise BadRow(TIE)
    return value > 0.5


def _image(value: Any, column: str, folder: Path) -> ImageRef:
    """A picture cell: bytes, `{"bytes", "path"}` (as `datasets` writes), or a file name."""
    if isinstance(value, Mapping):
        value = value.get("bytes") or value.get("path")
    if isinstance(value, bytes) and value:
        return value
    if not isinstance(value, str) or not value:
        raise BadRow("missing image", f"column {column} is empty")
    try:
        path = (folder / value).resolve()
    except (OSError, ValueError) as error:  # a NUL character, a loop of links
        raise BadRow("missing image", f"{value!r} ({error})") from error
    if not path.is_relative_to(folder.resolve()):
        raise BadRow("path leaves the folder", value)
    return path


def _list(names: Sequence[str], most: int = 20) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")
