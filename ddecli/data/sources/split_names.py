"""Which split of a data set a file belongs to, by its name, as the hub's data sets name their files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from ddecli.core.errors import UserError

DEFAULT = "train"
_SHARD = re.compile(r"(?P<split>.+?)-\d+-of-\d+(-[0-9a-f]+)?")
_KNOWN = re.compile(r"(?P<split>train|validation|valid|val|dev|test|eval)(?![a-z])")


def split_of(path: str) -> str | None:
    """Split of a file, None if its name says nothing.

    `data/train-00000-of-00645-b66ac786bf6fb553.parquet` and `default/train/0000.parquet` are of `train`.
    """
    file = PurePosixPath(path)
    for name in (file.name.split(".")[0], file.parent.name.removeprefix("partial-")):
        shard = _SHARD.fullmatch(name)
        if shard:
            return shard["split"]
        known = _KNOWN.match(name)
        if known:
            return known["split"]
    return None


def splits_of(paths: Iterable[str]) -> dict[str, str | None]:
    """Split of each of some files, by its name."""
    return {path: split_of(path) for path in paths}


def of_split(splits: Mapping[str, str | None], wanted: str | None, where: str) -> list[str]:
    """The files of a split, all of them if nothing is known of their splits.

    Args:
        splits: file -> its split.
        wanted: the split, or a pattern; None: `train` if there is such a split, else everything.

    Raises:
        UserError: no file is of that split.
    """
    known = sorted({split for split in splits.values() if split})
    if wanted is None:
        if DEFAULT not in known:
            if len(known) > 1:
                raise UserError(f"{where} has the splits {', '.join(known)}: choose one with --split.")
            return list(splits)
        wanted = DEFAULT
    found = [path for path, split in splits.items() if split and fnmatchcase(split, wanted)]
    if not found:
        there = f"there are {', '.join(known)}" if known else "its files' names say nothing of splits"
        raise UserError(f"{where} has no files of split {wanted}: {there}.")
    return found
