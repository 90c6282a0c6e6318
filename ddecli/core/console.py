"""What a person sees: one console on the error stream, progress bars, plain lines when it is no terminal."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

console = Console(stderr=True)
"""Messages and progress. Results go to standard output, so that they can be piped."""

PLAIN_INTERVAL_S = 10.0

Advance = Callable[..., None]


@contextlib.contextmanager
def progress(title: str, total: int, start: int = 0, unit: str = "it") -> Iterator[Advance]:
    """Show the progress of `total` items; yields `advance(count=1, note="")`.

    On a terminal: a bar with rate and time left. Elsewhere: a plain line every ten seconds. Of several processes that
    were launched together, the main one alone shows its own: bars of all would be drawn over each other.
    """
    if os.environ.get("RANK", "0") != "0":
        yield lambda count=1, note="": None
    elif console.is_terminal:
        with _bar(title, total, start, unit) as advance:
            yield advance
    else:
        with _lines(title, total, start, unit) as advance:
            yield advance


@contextlib.contextmanager
def _bar(title: str, total: int, start: int, unit: str) -> Iterator[Advance]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    began = time.monotonic()
    done = 0
    with Progress(*columns, console=console) as bars:
        task = bars.add_task(title, total=total, completed=start, rate="", note="")

        def advance(count: int = 1, note: str = "") -> None:
            nonlocal done
            done += count
            rate = f"{done / max(time.monotonic() - began, 1e-9):.1f} {unit}/s"
            bars.update(task, advance=count, rate=rate, note=note)

        yield advance


@contextlib.contextmanager
def _lines(title: str, total: int, start: int, unit: str) -> Iterator[Advance]:
    began = said = time.monotonic()
    done = start

    def advance(count: int = 1, note: str = "") -> None:
        nonlocal done, said
        done += count
        now = time.monotonic()
        if now - said >= PLAIN_INTERVAL_S or (done >= total and now - began > 2):
            said = now
            rate = (done - start) / max(now - began, 1e-9)
            left = (total - done) / rate if rate else float("inf")
            console.print(
                f"{title}: {done}/{total}  {rate:.1f} {unit}/s  {left:.0f} s left  {note}".rstrip(),
                highlight=False,
                soft_wrap=True,
            )

    yield advance
