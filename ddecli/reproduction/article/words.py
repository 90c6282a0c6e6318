"""How numbers and verdicts are written."""

from __future__ import annotations

from ddecli.document.blocks import Span, Style
from ddecli.reproduction.claims.verdicts import NOT_MEASURED, NOT_REPRODUCED, REPRODUCED, UNDECIDED
from ddecli.stats.intervals import Interval
from ddecli.tables.render import MINUS, NOTHING, decimals

STYLES: dict[str, Style] = {
    REPRODUCED: "good", NOT_REPRODUCED: "bad", UNDECIDED: "open", NOT_MEASURED: "absent",
    "holds": "good", "fails": "bad", "open": "open",
}  # fmt: skip


def verdict(word: str) -> Span:
    """A verdict or an answer in its colour."""
    return Span(word, STYLES[word])


def capital(words: str) -> str:
    """With a capital letter, as at the beginning of a sentence."""
    return words[:1].upper() + words[1:]


def count(number: int, singular: str, plural: str = "") -> str:
    """A number with its noun: "1 claim", "2 claims"."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def signed(value: float, decimals: int) -> str:
    """With its sign, a real minus, and no minus before a rounded zero."""
    written = f"{value:+.{decimals}f}"
    if float(written) == 0:
        return written.lstrip("+-")
    return written.replace("-", MINUS)


def plain(value: float, decimals: int) -> str:
    """With a sign only where it is negative."""
    return signed(value, decimals).removeprefix("+")


def bounds(interval: Interval | None, places: int) -> str:
    """An interval as "[low, high]", "exact" where it has no width, a dash where there is none."""
    if interval is None:
        return NOTHING
    if interval.low == interval.high:
        return "exact"
    return f"[{plain(interval.low, places)}, {plain(interval.high, places)}]"


def with_bounds(value: float, interval: Interval | None) -> str:
    """A difference with its interval."""
    places = decimals(value, interval)
    return signed(value, places) + (f" {bounds(interval, places)}" if interval else "")


def plus_minus(spread: float | None, places: int) -> str:
    """The standard deviation over trainings as " ± 0.012"; empty where it is not known."""
    return "" if spread is None else f" ± {spread:.{places}f}"


def below(number: int | None, trainings: int) -> str:
    """How many trainings lie below, as ", 1 of 3 below"; empty where none does."""
    return f", {number} of {trainings} below" if number else ""


def percent(level: float) -> str:
    """A level as in "98.3 %"."""
    return f"{100 * level:.4g} %"


def duration(seconds: float) -> str:
    """Hours and minutes, or minutes and seconds."""
    seconds = round(seconds)
    if seconds >= 3600:
        return f"{seconds // 3600} h {seconds % 3600 // 60} min"
    return f"{seconds // 60} min {seconds % 60} s" if seconds >= 60 else f"{seconds} s"
