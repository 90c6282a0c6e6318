"""DDE's correction terms `C(t)`, by timestep and over training (Sec. 4.4 of the paper)."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ddecli.core.errors import UserError
from ddecli.figures.save import Numbers
from ddecli.figures.style import T_LABEL, colours, legend, literal, panels
from ddecli.stats.rows import Folders
from ddecli.stats.runs import Credit, load_credit, load_runs, shared_edges

PLACES = (0.0, 0.25, 0.5, 0.75)
BINS = 3
"""Bins averaged at each place, from it upwards."""
LINES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (2.5, 1.2)), (0, (1, 1.2)))


def numbers(folders: Folders) -> Numbers:
    """Correction terms of every label's runs.

    Returns:
        t: left edges of the timestep bins, fractions of T, where `C(t)` was recorded.
        final: by label `C(t)` after the last step, of each seed and their mean.
        convergence: by label and place (t/T) the mean of `C` over `BINS` bins after every step, of each seed and
            their mean.

    Raises:
        UserError: no rows, a run without credit.npz or without correction terms, or seeds of unequal runs.
    """
    runs = load_runs(folders, load_credit)
    if not runs:
        raise UserError("The figure needs runs of dde or dde-step: DDE=runs/tiny-dde.")
    corrections = {label: np.stack([_corrections(run) for run in given]) for label, given in runs.items()}
    t = shared_edges(runs)[:-1]
    places = {f"{place:g}": np.arange(len(t))[np.searchsorted(t, place) :][:BINS] for place in PLACES}
    return {
        "figure": "corrections",
        "rows": dict(folders),
        "t": t,
        "final": {
            label: {"seeds": values[:, -1], "mean": values[:, -1].mean(axis=0)}
            for label, values in corrections.items()
        },
        "convergence": {
            label: {
                "step": np.arange(1, values.shape[1] + 1),
                "places": {
                    place: {
                        "seeds": values[:, :, bins].mean(axis=2),
                        "mean": values[:, :, bins].mean(axis=(0, 2)),
                    }
                    for place, bins in places.items()
                },
            }
            for label, values in corrections.items()
        },
    }


def _corrections(run: Credit) -> np.ndarray:
    if run.corrections is None:
        raise UserError(f"{run.name} has no correction terms: only runs of dde and dde-step keep them.")
    return run.corrections


def draw(numbers: Numbers) -> Figure:
    """Left: after training. Right: over training. Each seed thin, the mean over seeds on top."""
    figure, (left, right) = panels(2, height=2.7)
    colour = colours(list(numbers["final"]))
    entries: list[tuple[Artist, str]] = []
    for label, final in numbers["final"].items():
        for seed in final["seeds"] if len(final["seeds"]) > 1 else []:
            left.plot(numbers["t"], seed, color=colour[label], linewidth=0.6, alpha=0.5)
        (line,) = left.plot(numbers["t"], final["mean"], color=colour[label])
        entries.append((line, literal(label)))
        found = numbers["convergence"][label]
        for style, place in zip(LINES, found["places"].values(), strict=True):
            for seed in place["seeds"] if len(place["seeds"]) > 1 else []:
                right.plot(found["step"], seed, color=colour[label], linewidth=0.5, alpha=0.35)
            right.plot(found["step"], place["mean"], color=colour[label], linestyle=style)
    entries += [
        (Line2D([], [], color="#555555", linestyle=style), f"$t/T$ = {place:g}")
        for style, place in zip(LINES, PLACES, strict=True)
    ]
    for axis in (left, right):
        axis.axhline(0, color="#555555", linewidth=0.7)
        axis.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3), useMathText=True)
    left.set(xlim=(0, 1), xlabel=T_LABEL, ylabel="correction $C(t)$ after training")
    right.set(xlim=(0, None), xlabel="training steps", ylabel="correction $C(t)$")
    legend(figure, entries)
    return figure
