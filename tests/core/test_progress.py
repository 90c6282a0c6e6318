"""Progress on a clock of the test's own: plain lines, and a bar on a terminal."""

from __future__ import annotations

import io
import re
from types import SimpleNamespace

import pytest

from ddecli.core import console as module
from ddecli.core.console import Screen, progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Its `now` is the time in seconds."""
    made = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: made.now))
    return made


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What people see, no terminal."""
    output = io.StringIO()
    monkeypatch.setattr(module, "console", Screen(file=output, width=200))
    return output


def test_a_plain_line_every_ten_seconds(clock: SimpleNamespace, shown: io.StringIO) -> None:
    with progress("training", 100, start=10, unit="step") as advance:
        for now, count in ((1005.0, 10), (1009.9, 9), (1010.0, 1), (1019.9, 20), (1020.0, 10)):
            clock.now = now
            advance(count)
        assert shown.getvalue().splitlines() == [
            "training: 30/100  2.0 step/s  35 s left",
            "training: 60/100  2.5 step/s  16 s left",
        ]
        clock.now = 1025.0
        advance(40, note="loss 0.5")
    assert shown.getvalue().splitlines()[2:] == ["training: 100/100  3.6 step/s  0 s left  loss 0.5"]


def test_what_is_soon_done_says_nothing(clock: SimpleNamespace, shown: io.StringIO) -> None:
    for seconds, lines in ((2.0, 0), (2.1, 1)):
        with progress("sampling", 3) as advance:
            clock.now += seconds
            advance()
            advance()
            advance()
        assert len(shown.getvalue().splitlines()) == lines
    assert shown.getvalue() == "sampling: 3/3  1.4 it/s  0 s left\n"


def test_nothing_done_in_ten_seconds_has_no_end(clock: SimpleNamespace, shown: io.StringIO) -> None:
    with progress("sampling", 3) as advance:
        clock.now += 10
        advance(0)
    assert shown.getvalue() == "sampling: 0/3  0.0 it/s  inf s left\n"


def test_a_bar_on_a_terminal(
    clock: SimpleNamespace, shown: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "console", Screen(file=shown, width=200, force_terminal=True))
    with progress("[b]sampling", 10, start=4, unit="images") as advance:
        clock.now += 2
        advance(3)
        advance(note="[i]note")
    last = shown.getvalue()
    for text in ("[b]sampling", " 8/10", "2.0 images/s", "left", "[i]note"):
        assert text in last, text


@pytest.mark.parametrize(
    ("title", "unit"), [("training dde-single", "step"), ("pickscore images/" + "x" * 60, "images")]
)
def test_a_bar_of_80_columns_shows_its_times_whole(
    clock: SimpleNamespace, shown: io.StringIO, monkeypatch: pytest.MonkeyPatch, title: str, unit: str
) -> None:
    """Of steps that take a minute, too, and of many; the end of a folder's name is what is seen of it."""
    monkeypatch.setattr(module, "console", Screen(file=shown, width=80, force_terminal=True))
    with progress(title, 10000, start=1000, unit=unit) as advance:
        for _ in range(3):
            clock.now += 62
            advance(note="loss 0.6931  accuracy 0.50  held out 0.52")
    lines = [line.strip() for line in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.getvalue()).splitlines()]
    bar = next(line for line in reversed(lines) if "1003/10000" in line)
    assert len(bar) <= 80 and bar.split()[0] == title.split()[0] and "━" in bar
    assert bar.endswith("left 154:56:54")  # 8,997 steps of 62 seconds
    assert f"62.0 s/{unit.removesuffix('s')} " in bar
    assert ("x" * 8 in bar) == ("x" in title)
    assert "loss 0.6931  accuracy 0.50  held out 0.52" in lines
