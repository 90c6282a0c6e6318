"""Subsets of a data set of the hub (its pages' word; `datasets` calls them configurations), and their splits."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from ddecli.core.errors import UserError

DEFAULT = "default"
MOST = 20
"""Subsets that a message names."""
Splits = dict[str, str | None]
"""The files of a subset, each with its split; None where only its name can say."""

_WILD = re.compile(r"(\*\*/|\*\*|\*|\?|\[[^]]+\])")
_MEANING = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


def subsets_of_card(card: Mapping[str, Any], files: Sequence[str]) -> dict[str, Splits]:
    """The subsets that a data set's card names (`configs`), with those of some files that are theirs.

    A card without any is one subset of all files; without files it says nothing.
    """
    subsets = {
        str(entry["config_name"]): {
            file: split for file in files for split, pattern in _patterns(entry) if _matches(file, pattern)
        }
        for entry in _entries(card)
    }
    return subsets or ({DEFAULT: dict.fromkeys(files)} if files else {})


def subsets_of_conversion(files: Sequence[str]) -> dict[str, Splits]:
    """The subsets of the hub's own conversion to parquet: `SUBSET/SPLIT/0000.parquet`, or `SUBSET/partial-SPLIT/`."""
    subsets: dict[str, Splits] = {}
    for file in files:
        subset, split, *_ = (*PurePosixPath(file).parent.parts, "", "")
        subsets.setdefault(subset, {})[file] = split.removeprefix("partial-") or None
    return subsets


def choose_subset(
    subsets: Mapping[str, Splits], wanted: str | None, card: Mapping[str, Any], where: str
) -> str:
    """The subset to read: the one wanted, the only one, or the default one.

    Raises:
        UserError: there is none of that name, or there are several and none is the default.
    """
    named = ", ".join(list(subsets)[:MOST]) + (", ..." if len(subsets) > MOST else "")
    if wanted is not None and wanted not in subsets:
        raise UserError(f"{where} has no subset {wanted}, only {named}.")
    defaults = [str(entry["config_name"]) for entry in _entries(card) if entry.get("default") is True]
    for name in (wanted, *defaults, DEFAULT):
        if name in subsets:
            return str(name)
    if len(subsets) > 1:
        raise UserError(f"{where} has the subsets {named}: choose one with --subset.")
    return next(iter(subsets))


def rows_of_card(card: Mapping[str, Any], subset: str, splits: set[str | None]) -> int | None:
    """Rows that a card promises for some splits of a subset."""
    entries = card.get("dataset_info")
    for entry in entries if isinstance(entries, list) else [entries]:
        if isinstance(entry, dict) and entry.get("config_name", DEFAULT) == subset:
            counts = {split.get("name"): split.get("num_examples") for split in entry.get("splits") or []}
            return sum(counts[split] for split in splits) if splits and splits <= counts.keys() else None
    return None


def _entries(card: Mapping[str, Any]) -> list[dict[str, Any]]:
    configs = card.get("configs")
    entries = configs if isinstance(configs, list) else []
    return [entry for entry in entries if isinstance(entry, dict) and entry.get("config_name")]


def _patterns(entry: Mapping[str, Any]) -> Iterator[tuple[str | None, str]]:
    """Split and pattern of each of a subset's `data_files`; the last that matches a file decides."""
    folder = str(entry.get("data_dir") or "").strip("./")
    data_files = entry.get("data_files") or "**"
    for item in data_files if isinstance(data_files, list) else [data_files]:
        split, paths = (str(item["split"]), item["path"]) if isinstance(item, dict) else (None, item)
        for path in paths if isinstance(paths, list) else [paths]:
            yield split, f"{folder}/{path}" if folder else str(path).removeprefix("./")


def _matches(file: str, pattern: str) -> bool:
    pieces = _WILD.split(pattern)  # every second one is a wildcard
    regex = "".join(
        _MEANING.get(piece, piece.replace("[!", "[^")) if odd % 2 else re.escape(piece)
        for odd, piece in enumerate(pieces)
    )
    return re.fullmatch(regex, file) is not None
