"""Scores of training on parts of the trajectory (Fig. 3 of the paper)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ddecli.core.errors import UserError
from ddecli.core.segments import parse_segment
from ddecli.figures.measured import chosen_metrics, origin, trainings
from ddecli.figures.save import Numbers
from ddecli.figures.style import COLOURS, OTHER_COLOURS, T_LABEL, legend, literal, panels
from ddecli.stats.intervals import estimate
from ddecli.stats.metrics import NAMES
from ddecli.stats.rows import Folders, ScoredRow, difference, load_rows, prompt_means

TENTH = 0.1 + 1e-9
"""Segments up to this width are joined by a line, wider ones are bars."""
FULL, SEGMENT, WIDER = "black", COLOURS["dde"], OTHER_COLOURS[0]  # the paper's black and blue; dark violet

Point = tuple[tuple[float, float], dict[str, Any]]
"""A segment and its numbers."""


def numbers(folders: Folders, metrics: Sequence[str] = ()) -> Numbers:
    """Mean scores of a base model, of training on the full range and of training on segments.

    Args:
        folders: the base first, the full range second, then segments such as `0.3-0.4`; of each its training seeds.
        metrics: a panel each; all that every folder has if empty.

    Returns:
        By metric and label the mean over prompts and seeds with its interval, that of each seed, and the difference to
        the base with its interval (the same prompts in both) and the number of seeds that lie below the base. Intervals
        are None with fewer than two prompts.

    Raises:
        UserError: too few rows, a label that is no segment, missing scores, or mixed protocols.
    """
    if len(folders) < 3:
        raise UserError(
            "The figure needs three rows or more: the base model, training on the full range, and segments, as in "
            "BASE=images/tiny FULL=images/uniform 0-0.1=images/uniform-0-0.1."
        )
    base, full, *segments = folders
    spans = {label: parse_segment(label) for label in segments}
    sets = load_rows(folders)
    return {
        "figure": "segments",
        **origin(folders, sets),
        "base": base,
        "full": full,
        "segments": spans,
        "metrics": {metric: _means(prompt_means(sets, metric)) for metric in chosen_metrics(sets, metrics)},
    }


def _means(values: dict[str, np.ndarray]) -> dict[str, Any]:
    base = ScoredRow(next(iter(values.values())))
    found = {}
    for label, row in values.items():
        gained = difference(ScoredRow(row), base)
        is_base = row is base.values
        found[label] = {
            "mean": row.mean(),
            "seed_means": row.mean(axis=0),
            "interval": estimate(row).interval(),
            "difference": 0.0 if is_base else gained.value,
            "difference_interval": None if is_base else gained.interval(),
            "below": None if is_base else gained.below,
        }
    return found


def draw(numbers: Numbers) -> Figure:
    """One panel a metric. Error bars are intervals of the difference to the base, laid on the base's mean; small dots
    are single trainings."""
    figure, axes = panels(len(numbers["metrics"]))
    for axis, (metric, found) in zip(axes, numbers["metrics"].items(), strict=True):
        entries = _panel(axis, numbers, found)
        axis.set(xlim=(0, 1), xlabel=T_LABEL, ylabel=NAMES.get(metric, metric))
        axis.set_xticks(np.linspace(0, 1, 6))
        axis.set_xticks(np.linspace(0, 1, 11), minor=True)
    legend(figure, entries)
    return figure


def _panel(axis: Axes, numbers: Numbers, found: dict[str, Any]) -> list[tuple[Artist, str]]:
    base, full = numbers["base"], numbers["full"]
    red = axis.axhline(found[base]["mean"], color=COLOURS["base"], linestyle="--")
    black = axis.axhline(found[full]["mean"], color=FULL, linestyle="--")
    if found[full]["difference_interval"]:
        low, high = (found[base]["mean"] + end for end in found[full]["difference_interval"])
        axis.axhspan(low, high, color=FULL, alpha=0.06, linewidth=0)
    entries: list[tuple[Artist, str]] = [(red, literal(base)), (black, literal(full))]
    points = [(span, found[label]) for label, span in sorted(numbers["segments"].items(), key=lambda s: s[1])]
    tenths = [point for point in points if _width(point) <= TENTH]
    wider = [point for point in points if _width(point) > TENTH]
    if tenths:
        line = _errorbar(axis, tenths, found[base]["mean"], SEGMENT, linestyle="-")
        entries.append((line, "10 % of the steps"))
    for span, each in wider:
        (bar,) = axis.plot(span, [each["mean"]] * 2, color=WIDER, linewidth=2.6)
    if wider:
        _errorbar(axis, wider, found[base]["mean"], WIDER, linestyle="none")
        entries.append((bar, "a wider part"))
    return entries


def _width(point: Point) -> float:
    return point[0][1] - point[0][0]


def _errorbar(axis: Axes, points: list[Point], base: float, colour: str, linestyle: str) -> Artist:
    """Means at the middles of their segments; the base's mean plus the interval of the difference to it."""
    means = np.array([each["mean"] for _, each in points])
    errors = None
    if points[0][1]["difference_interval"]:
        low, high = np.transpose([each["difference_interval"] for _, each in points]) + base
        errors = [means - low, high - means]
    middles = [sum(span) / 2 for span, _ in points]
    for middle, (_, each) in zip(middles, points, strict=True):
        trainings(axis, middle, each["seed_means"], colour)
    drawn = axis.errorbar(
        middles,
        means,
        yerr=errors,
        color=colour,
        marker="o",
        markersize=3.5,
        linestyle=linestyle,
        elinewidth=1.0,
    )
    return drawn.lines[0]
