"""What a person sees: messages and progress on the error stream, results on standard output.

Whatever is printed goes through here, and is shown as it is: nothing in a prompt, a path or a label is markup, and no
control character of it reaches the terminal.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, Literal

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Column, Table
from rich.text import Text

from ddecli.core.text import printable
from ddecli.core.units import clock, rate

LIBRARY_NOTES = {"TRANSFORMERS_VERBOSITY": "error", "DIFFUSERS_VERBOSITY": "error"}
"""Environment in which the libraries, when they are imported, keep their notes for developers to themselves."""
PLAIN_INTERVAL_S = 10.0
NUMBERS_WIDTH = 52
"""Columns that the numbers of a bar take, of 10,000 items and some days; its title has the others."""
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
    _results().print(result)


def show_text(text: str) -> None:
    """Print sentences as a result, broken between words where a terminal ends."""
    output = _results()
    if output.is_terminal:
        output.print(text, soft_wrap=False)
    else:
        echo(text)


def _results() -> Screen:
    output = Screen()
    if not output.is_terminal:
        output.width = PLAIN_WIDTH
    return output


def show_grid(
    title: str,
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    bold: Collection[tuple[int, int]] = (),
    keys: int = 1,
) -> None:
    """Print a table of short texts as a result, none of them broken.

    Where it is wider than the terminal it becomes several.

    Args:
        bold: places (row, column) that stand out.
        keys: columns at the left that say what a row is; each of several tables has them.
    """
    output = _results()
    lines = [[printable(text) for text in line] for line in (header, *rows)]
    widths = [max(cell_len(line[column]) for line in lines) for column in range(len(header))]
    for number, columns in enumerate(_pieces(widths, output.width, keys)):
        table = Table(
            title=None if number else Text(printable(title), style="bold"),
            title_justify="left",
            box=SIMPLE_HEAD,
            show_edge=False,
            pad_edge=False,
            padding=(0, 1, 0, 0),
        )
        for column in columns:
            side: Literal["left", "right"] = "left" if column < keys else "right"
            table.add_column(Text(lines[0][column]), justify=side, no_wrap=True, overflow="ellipsis")
        for row, line in enumerate(lines[1:]):
            table.add_row(
                *(Text(line[each], style="bold" if (row, each) in bold else "") for each in columns)
            )
        output.print(table)
        output.print()


def _pieces(widths: Sequence[int], room: int, keys: int) -> list[list[int]]:
    """Columns, by number, that fit beside each other, two characters apart; the first `keys` in every piece."""
    found: list[list[int]] = []
    for column in range(keys, len(widths)):
        if found and sum(widths[each] + 2 for each in (*found[-1], column)) - 2 <= room:
            found[-1].append(column)
        else:
            found.append([*range(keys), column])
    return found or [[*range(keys)]]


Advance = Callable[..., None]


@contextlib.contextmanager
def progress(title: str, total: int, start: int = 0, unit: str = "it") -> Iterator[Advance]:
    """Show the progress of `total` items; yields `advance(count=1, note="")`.

    On a terminal: a bar with rate and time left. Elsewhere: a plain line every ten seconds. Of several processes that
    were launched together, the main one alone shows its own: bars of all would be drawn over each other.
    """
    if os.environ.get("RANK", "0") != "0":
        with no_progress() as advance:
            yield advance
    elif console.is_terminal:
        with _bar(title, total, start, unit) as advance:
            yield advance
    else:
        with _lines(title, total, start, unit) as advance:
            yield advance


def no_progress() -> contextlib.AbstractContextManager[Advance]:
    """In the place of `progress` where nothing is to be shown."""
    return contextlib.nullcontext(lambda count=1, note="": None)


class _Bars(Progress):
    """A bar in one line, and what is noted of its last item in a line below it: both fit into 80 columns."""

    def get_renderables(self) -> Iterable[RenderableType]:
        """The bar, and the note if there is one."""
        yield self.make_tasks_table(self.tasks)
        for task in self.tasks:
            if task.fields["note"]:
                yield Text(printable(f"  {task.fields['note']}"), no_wrap=True, overflow="ellipsis")


@contextlib.contextmanager
def _bar(title: str, total: int, start: int, unit: str) -> Iterator[Advance]:
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None, table_column=Column(ratio=1, min_width=4)),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
    )
    began = time.monotonic()
    done = 0
    with _Bars(*columns, console=console, expand=True) as bars:
        task = bars.add_task(
            _shortened(printable(title)), total=total, completed=start, rate="", left="", note=""
        )

        def advance(count: int = 1, note: str = "") -> None:
            nonlocal done
            done += count
            passed = time.monotonic() - began
            # rich forgets what is half a minute old, and a step of a large model takes longer
            left = f"left {clock((total - start - done) * passed / done)}" if done else ""
            bars.update(task, advance=count, rate=rate(done, passed, unit), left=left, note=note)

        yield advance


def _shortened(title: str) -> str:
    """A title that leaves room for the numbers; of a long one the begin of its last word is left out."""
    width = console.width - NUMBERS_WIDTH
    if len(title) <= width:
        return title
    begin, _, last = title.rpartition(" ")
    room = max(width - len(begin) - 2, 8)
    return f"{begin} …{last[-room:]}".strip()


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
            made, passed = done - start, now - began
            left = f"{(total - done) * passed / made:.0f}" if made else "inf"
            console.print(
                f"{title}: {done}/{total}  {rate(made, passed, unit)}  {left} s left  {note}".rstrip()
            )

    yield advance
