"""The time that jobs took, from the benchmark files that Snakemake leaves."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

STARTED = "started"
"""The file among them that is written when the workflow starts."""


@dataclass(frozen=True)
class JobTime:
    """One job: its kind, when it ended (as times of files are told), and the seconds it took."""

    kind: str
    ended: float
    seconds: float


def job_times(folder: Path) -> list[JobTime]:
    """All jobs whose benchmark files lie in a folder; the first part of their paths is their kind."""
    return [
        JobTime(file.relative_to(folder).parts[0], file.stat().st_mtime, _seconds(file))
        for file in sorted(folder.rglob("*.tsv"))
    ]


def wall_seconds(jobs: Sequence[JobTime], folder: Path) -> float | None:
    """Time from the workflow's start to the end of its last job; None if some were run by an earlier one.

    Args:
        folder: where the file STARTED lies.
    """
    if not jobs or not (folder / STARTED).is_file():
        return None
    started = (folder / STARTED).stat().st_mtime
    if min(job.ended - job.seconds for job in jobs) < started:
        return None
    return max(job.ended for job in jobs) - started


def _seconds(file: Path) -> float:
    with file.open(encoding="utf-8") as lines:
        return float(next(csv.DictReader(lines, delimiter="\t"))["s"])
