"""Rates of works that take turns, by processor time: what is compared meets the same moments of a busy machine."""

from __future__ import annotations

import resource
import statistics
import subprocess
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

Rates = dict[str, dict[str, float]]


def in_turns(works: Mapping[str, Callable[[], object]], amount: float, rounds: int) -> Rates:
    """Rates of each, by processor time, after one round to warm up.

    Args:
        amount: what a call does, in the unit of the rate.
    """
    times: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds + 1):
        for name, work in works.items():
            began = time.process_time()
            work()
            if number:
                times[name].append(time.process_time() - began)
    return {
        name: {
            "median": rounded(amount / statistics.median(each)),
            "smallest": rounded(amount / max(each)),
            "largest": rounded(amount / min(each)),
        }
        for name, each in times.items()
    }


def commands_in_turns(
    commands: Mapping[str, Callable[[], Sequence[str]]],
    folder: Path,
    rounds: int,
    refused: Collection[str] = (),
) -> Rates:
    """Seconds of processor time, user and system, of whole commands, after one round to warm up.

    Args:
        commands: by name, what to run in a round.
        folder: they run in.
        refused: of these, exit code 2 is measured.

    Raises:
        RuntimeError: a command ended otherwise than it should.
    """
    times: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(rounds + 1):
        for name, make in commands.items():
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            done = subprocess.run(make(), check=False, capture_output=True, text=True, cwd=folder)
            if done.returncode != (2 if name in refused else 0):
                raise RuntimeError(f"{name} ended with {done.returncode}: {done.stderr}")
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            if number:
                times[name].append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return {
        name: {
            "median": rounded(statistics.median(each)),
            "smallest": rounded(min(each)),
            "largest": rounded(max(each)),
        }
        for name, each in times.items()
    }


def rounded(value: float) -> float:
    """Four digits."""
    return float(f"{value:.4g}")
