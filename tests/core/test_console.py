"""Progress of a command, as a person sees it."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table

from ddecli.core import console
from ddecli.core.console import Screen, progress


@pytest.mark.parametrize(("rank", "is_shown"), [(None, True), ("0", True), ("1", False)])
@pytest.mark.parametrize("terminal", [True, False])
def test_the_main_process_alone_shows_progress(
    monkeypatch: pytest.MonkeyPatch, rank: str | None, is_shown: bool, terminal: bool
) -> None:
    monkeypatch.delenv("RANK", raising=False)
    if rank is not None:
        monkeypatch.setenv("RANK", rank)
    shown = io.StringIO()
    monkeypatch.setattr(console, "console", Console(file=shown, force_terminal=terminal))
    monkeypatch.setattr(console, "PLAIN_INTERVAL_S", 0.0)
    with progress("sampling", 2, unit="images") as advance:
        advance(2, note="done")
    assert ("sampling" in shown.getvalue()) == is_shown


def test_everything_is_printed_in_one_place() -> None:
    """Elsewhere a print, or a console of its own, would show markup and control characters of a prompt or a path."""
    root = Path(console.__file__).parents[1]
    own = {"core/console.py", "cli/app.py", "cli/stop.py"}
    printing = re.compile(r"(?<![\w.])print\(|\bConsole\(|typer\.echo\((?!context\.get_help\(\))")
    found = [
        path.relative_to(root).as_posix() for path in root.rglob("*.py") if printing.search(path.read_text())
    ]
    assert set(found) == own


@pytest.mark.parametrize("terminal", [True, False])
def test_titles_and_messages_are_shown_as_they_are(monkeypatch: pytest.MonkeyPatch, terminal: bool) -> None:
    shown = io.StringIO()
    screen = Screen(file=shown, force_terminal=terminal, width=300)
    monkeypatch.setattr(console, "console", screen)
    monkeypatch.setattr(console, "PLAIN_INTERVAL_S", 0.0)
    odd = "[/b] [red]x :smile: \x1b]0;owned\x07"
    with progress(odd, 2, unit="images") as advance:
        advance(2, note="[/b]")
    screen.print(odd)
    assert shown.getvalue().count(r"[/b] [red]x :smile: \x1b]0;owned\x07") >= 2
    assert "\x07" not in shown.getvalue()


def test_a_table_is_folded_into_the_width() -> None:
    shown = io.StringIO()
    table = Table("a", "b")
    table.add_row("word " * 100, "[/b]")
    Screen(file=shown, width=60).print(table)
    assert max(map(len, shown.getvalue().splitlines())) <= 60


def printed(monkeypatch: pytest.MonkeyPatch, width: int, *given: Any, **named: Any) -> list[list[str]]:
    """The tables of a grid, their lines without what is not text."""
    shown = io.StringIO()
    monkeypatch.setattr(console, "_results", lambda: Screen(file=shown, width=width, force_terminal=True))
    console.show_grid(*given, **named)
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line).rstrip() for line in shown.getvalue().split("\n")]
    assert max(map(len, lines)) <= width
    return [part.split("\n") for part in "\n".join(lines).strip().split("\n\n")]


def test_a_wide_grid_becomes_several_and_breaks_no_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    interval = "-0.0045 [-0.0095, 0.0006]"
    row = ["[b]pickscore", *[interval] * 4]
    one, two = printed(monkeypatch, 80, "title", ["metric", "a", "b", "c", "d"], [row])
    assert one[0] == "title" and [line.split()[0] for line in one[1:]] == ["metric", "─" * 66, "[b]pickscore"]
    assert one[3].count(interval) == two[2].count(interval) == 2 and two[2].startswith("[b]pickscore")
    (whole,) = printed(monkeypatch, 140, "title", ["metric", "a", "b", "c", "d"], [row])
    assert whole[3].count(interval) == 4
    pieces = printed(
        monkeypatch, 40, "", ["kind", "method", "a", "b"], [["x", "y", interval, interval]], keys=2
    )
    assert [piece[-1].split()[:2] for piece in pieces] == [["x", "y"], ["x", "y"]]


def test_what_is_bold_in_a_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    monkeypatch.setattr(console, "_results", lambda: Screen(file=shown, width=80, force_terminal=True))
    console.show_grid("", ["a", "b"], [["1", "2"], ["3", "4"]], {(1, 1)})
    assert [digit for digit in "1234" if re.search(rf"\x1b\[1m{digit}\x1b", shown.getvalue())] == ["4"]
