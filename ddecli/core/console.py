"""What a person sees: messages and progress on the error stream, results on standard output.

Whatever is printed goes through here, and is shown as it is: nothing in a prompt, a path or a label is markup, and no
control character of it reaches the terminal.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from ddecli.core.text import printable

LIBRARY_NOTES = {"TRANSFORMERS_VERBOSITY": "error", "DIFFUSERS_VERBOSITY": "error"}
"""Environment in which the libraries, when they are imported, keep their notes for developers to themselves."""
PLAIN_INTERVAL_S = 10.0
PLAIN_WIDTH = 140
"""Width of a table in characters where standard output is no terminal."""


class Screen(Console):
    """Shows text as it is."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, soft_wrap=True, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Every text that is printed, or stands in a table, comes by here."""
        return super().render_str(printable(text), **options)


console = Screen(stderr=True)
"""Messages and progress. Results go to standard output, so that they can be piped."""


def echo(text: object, end: str = "\n") -> None:
    """Print a result."""
    print(printable(str(text)), end=end)


def show(result: RenderableType) -> None:
    """Print a table as a result."""
    output = Screen()
    if not output.is_terminal:
        output.width = PLAIN_WIDTH
    output.print(result)


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
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    began = time.monotonic()
    done = 0
    with Progress(*columns, console=console) as bars:
        task = bars.add_task(printable(title), total=total, completed=start, rate="", note="")

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
            console.print(f"{title}: {done}/{total}  {rate:.1f} {unit}/s  {left:.0f} s left  {note}".rstrip())

    yield advance
