"""The files that a finished run leaves, and perf.json, which notes their digests when the run ends.

A run that goes on changes them: then perf.json notes none until it has finished again.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, FiniteFloat

from ddecli.core.digests import check_files, file_entry
from ddecli.core.ledger import note
from ddecli.core.sealed import read_sealed, write_sealed

PERFORMANCE = "perf.json"
WHOLE = "self-play.yaml"
"""Settings of a run of several iterations (self-play, semi-policy), beside those of its last one in run.yaml."""
ITERATIONS = "iteration-*"
"""The folders of its other iterations."""
RUN_AGAIN = "train the run again"


class _Performance(BaseModel):
    """What of perf.json is needed."""

    seconds: FiniteFloat = 0.0  # may be missing, as may all others
    device: str = ""
    machine: dict[str, Any] = {}
    versions: dict[str, Any] = {}
    files: dict[str, dict[str, Any]] = {}


def read_performance(run: Path) -> dict[str, Any]:
    """What a run's perf.json says; nothing where there is none.

    Raises:
        UserError: it is damaged.
    """
    file = run / PERFORMANCE
    if not file.is_file():
        return {}
    note(file)
    return read_sealed(file, f"remove it, or {RUN_AGAIN}", _Performance)


def write_performance(run: Path, values: dict[str, Any], files: Mapping[str, Path]) -> None:
    """Write perf.json with the digests of files of the run.

    Args:
        files: where they lie now, by where they will lie in the run.
    """
    entries = {name: file_entry(file) for name, file in sorted(files.items())}
    write_sealed(run / PERFORMANCE, values | {"files": entries})


def forget_files(run: Path) -> None:
    """Before a run goes on: its files are about to change."""
    values = read_performance(run)
    if values.pop("files", None):
        write_sealed(run / PERFORMANCE, values)


def check_run(run: Path, name: str) -> Path:
    """A file of a run, or its folder `name`, compared with what was noted when the run ended.

    Returns:
        Its path, whether or not there is such a file.

    Raises:
        UserError: it has changed.
    """
    entries = {
        file: entry
        for file, entry in read_performance(run).get("files", {}).items()
        if file == name or file.startswith(f"{name}/")
    }
    check_files(run, entries, f"{RUN_AGAIN} (or remove {PERFORMANCE}, if it was changed on purpose)")
    return run / name
