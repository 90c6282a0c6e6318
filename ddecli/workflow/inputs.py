"""What configured options read: the files and folders that they name, and what tells that these have changed."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from ddecli.cli.prompts import WORLD
from ddecli.core.digests import BIG
from ddecli.core.files import sha256_file, sha256_text
from ddecli.models.parts import PARTS, loaded_files
from ddecli.models.presets import builtin_weights, presets, resolve
from ddecli.sampling.prompt_sets import NAMES as PROMPT_SETS
from ddecli.workflow.options import Options

READ = {
    "prepare": {"data", "exclude-prompts", "scorer", "from", "prompts"},
    "train": {"config", "holdout", "sample-prompts", "sample-scorer"},
    "sample": {"prompts"},
    "score": {"scorer"},
    "inception": {"classifier"},
}
"""Options that may name a file or a folder to read."""
ENCODERS = tuple(part for part in PARTS if part not in ("unet", "scheduler"))
"""The parts of a model that decide what a pair store holds."""
NAMES = {"data": {"world"}, "classifier": {"auto", "inception", "tiny"}}
"""What they take besides paths."""


def read_paths(command: str, options: Options, results: str) -> list[str]:
    """The paths of files and folders that options of a command name, if something lies there.

    Args:
        results: the folder of what the workflow makes; what lies in it is no input from outside.
    """
    found = set()
    for name in READ[command] & options.keys():
        value = options[name]
        for each in value if isinstance(value, list) else [value]:
            path = named_path(name, str(each))
            if (
                path
                and Path(path).exists()
                and not Path(path).absolute().is_relative_to(Path(results).absolute())
            ):
                found.add(path)
    return sorted(found)


def named_path(option: str, value: str) -> str | None:
    """The path that an option's value names, whether something lies there or not; None if it names something else."""
    if option in ("scorer", "sample-scorer"):
        return value.partition("=")[2]
    if option in ("prompts", "exclude-prompts", "sample-prompts"):
        name, _, path = value.partition("=")
        return None if value.startswith(WORLD) else (path or None) if name in PROMPT_SETS else value
    return None if value in NAMES.get(option, ()) else value


def model_paths(source: str, parts: Collection[str] = PARTS) -> list[str]:
    """The files that a model is loaded from, where it lies here; none of a preset or a hub id.

    What else its folder holds (a card, half precision beside full) does not count.

    Args:
        parts: that are used of it, where they are files of their own.

    Raises:
        UserError: it is no model.
    """
    if source in presets() or not (Path(source).exists() or "+" in source):
        return []
    found = resolve(source)
    files = list(found.loras) if "unet" in parts else []
    location = Path(found.location)
    if location.is_file():
        files.append(location)
    elif location.is_dir() and not location.is_relative_to(builtin_weights("")):
        files += [file for part in parts for file in loaded_files(location, part).values()]
    return [str(file) for file in files]


def files_of(paths: Sequence[str]) -> list[str]:
    """Those of the paths that are files."""
    return [path for path in paths if Path(path).is_file()]


def content(paths: Sequence[str]) -> str:
    """A digest that changes with what lies at paths: of folders, names, sizes and times of the last change.

    Small files given by name are read; big ones, and those in folders, are not: it takes a second for 100,000.
    """
    return sha256_text(json.dumps([[path, _state(path)] for path in paths]))[:16] if paths else ""


@functools.cache
def _state(path: str) -> Any:
    if Path(path).is_dir():
        listing = [[name, *_size_and_time(file)] for name, file in sorted(_walk(path))]
        return sha256_text(json.dumps(listing))
    if Path(path).stat().st_size < BIG:
        return sha256_file(Path(path))
    return _size_and_time(path)


def _size_and_time(path: str) -> list[int]:
    """Links are followed; one that leads nowhere has no size."""
    try:
        found = os.stat(path)  # noqa: PTH116  (twice as fast where there are very many)
    except OSError:
        return [-1, 0]
    return [found.st_size, found.st_mtime_ns]


def _walk(folder: str) -> Iterator[tuple[str, str]]:
    """The files in a folder, deep, by their paths in it; a folder that links lead back to is seen once."""
    seen: set[str] = set()
    for root, folders, files in os.walk(folder, followlinks=True):
        if os.path.realpath(root) in seen:
            folders.clear()
            continue
        seen.add(os.path.realpath(root))
        for name in files:
            yield os.path.relpath(f"{root}/{name}", folder), f"{root}/{name}"
