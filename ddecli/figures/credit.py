"""Credit: which timesteps got the gradient."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ddecli.core.errors import UserError
from ddecli.core.segments import CLEAN, MIDDLE, NOISE
from ddecli.figures.save import Numbers
from ddecli.figures.style import PAGE, T_LABEL, colours, legend, line, literal, log_scale
from ddecli.stats.rows import Folders
from ddecli.stats.runs import Credit, load_credit, load_runs, shared_edges

PARTS = (CLEAN, MIDDLE, NOISE)
"""Segments of the trajectory whose share is counted."""
GREYS = (("#DDDDDD", "black"), ("#ABABAB", "black"), ("#606060", "white"))
"""Colours of the parts and of the numbers in them."""
WEIGHT = "$|\\partial L/\\partial D|$ by noise errors"
"""The gradient weight with the unit that it is one over."""
LEGIBLE = 0.04
"""Smallest share with room for its number."""


def numbers(folders: Folders) -> Numbers:
    """Gradient weight `|dL/dD|` by timestep over a whole training, by errors of the noise.

    Returns:
        t: middles of the timestep bins, fractions of T.
        weight: by label the mean gradient weight of a visit, divided by its mean over the bins; of each seed, their
            mean, lowest and highest over the seeds that visited a bin. None where it was never visited.
        total_share: by label the share of the total gradient weight (a visit's weight times the number of visits) in
            each of `parts`, of each seed and their mean.
        weight_share: as if every timestep had been visited equally often.
        visit_share: the share of the visits.
        norm_share: the share of the norm of the pairs' gradients in the weights, which has no unit of an error; None
            unless every run measured it.

    Raises:
        UserError: no rows, or a run without credit.npz.
    """
    runs = load_runs(folders, load_credit)
    if not runs:
        raise UserError("The figure needs runs: Uni=runs/tiny-uniform DDE=runs/tiny-dde.")
    edges = shared_edges(runs)
    t = (edges[:-1] + edges[1:]) / 2
    return {
        "figure": "credit",
        "rows": dict(folders),
        "t": t,
        "parts": PARTS,
        "weight": {label: _with_range([_weight(run) for run in given]) for label, given in runs.items()},
        "total_share": {
            label: _shares([run.weight_sum.sum(0) for run in given], t) for label, given in runs.items()
        },
        "weight_share": {
            label: _shares([np.nan_to_num(_weight(run)) * np.diff(edges) for run in given], t)
            for label, given in runs.items()
        },
        "visit_share": {
            label: _shares([run.count.sum(0) for run in given], t) for label, given in runs.items()
        },
        "norm_share": _norm_shares(runs, t),
    }


def _norm_shares(runs: dict[str, list[Credit]], t: np.ndarray) -> dict[str, Any] | None:
    norms = {
        label: [each for run in given if (each := run.norms) is not None] for label, given in runs.items()
    }
    if any(len(norms[label]) < len(given) for label, given in runs.items()):
        return None
    return {label: _shares([each.sum(0) for each in given], t) for label, given in norms.items()}


def _weight(run: Credit) -> np.ndarray:
    """Mean gradient weight of a visit by bin, `(bins,)`, with mean one; NaN where there was no visit."""
    count = run.count.sum(0)
    weight = np.divide(run.weight_sum.sum(0), count, out=np.full(len(count), np.nan), where=count > 0)
    return weight / np.nanmean(weight)


def _with_range(seeds: list[np.ndarray]) -> dict[str, Any]:
    values = np.ma.masked_invalid(np.stack(seeds))  # a bin counts the seeds that visited it
    over = {"mean": values.mean(0), "low": values.min(0), "high": values.max(0)}
    return {"seeds": values.filled(np.nan)} | {name: each.filled(np.nan) for name, each in over.items()}


def _shares(seeds: list[np.ndarray], t: np.ndarray) -> dict[str, Any]:
    parts = np.array([[each[(low <= t) & (t < high)].sum() for low, high in PARTS] for each in seeds])
    shares = parts / parts.sum(axis=1, keepdims=True)
    return {"seeds": shares, "mean": shares.mean(axis=0)}


def draw(numbers: Numbers) -> Figure:
    """Left: the weight of a visit by timestep. Right: the total, as shares of three parts of the trajectory; further
    right the same of the gradient norm, where it was measured."""
    labels = list(numbers["weight"])
    height = max(2.6, 1.2 + 0.27 * len(labels))
    figure = Figure(figsize=(PAGE, height), layout="constrained")
    left, right, *more = figure.subplots(1, 2 if numbers["norm_share"] is None else 3)
    colour = colours(labels)
    entries: list[tuple[Artist, str]] = []
    for label, weight in numbers["weight"].items():
        mean, low, high = (np.array(weight[name], dtype=float) for name in ("mean", "low", "high"))
        if len(weight["seeds"]) > 1:
            left.fill_between(numbers["t"], low, high, color=colour[label], alpha=0.25, linewidth=0)
        (curve,) = left.plot(numbers["t"], mean, color=colour[label], linestyle=line(label))
        entries.append((curve, literal(label)))
    log_scale(left)
    left.set(xlim=(0, 1), xlabel=T_LABEL, ylabel=f"{WEIGHT} (mean 1)")
    _bars(right, numbers["total_share"], f"share of {WEIGHT}, %")
    for axis in more:
        _bars(axis, numbers["norm_share"], "share of the gradient norm, %", named=False)
    parts = [
        Patch(color=grey, label=f"{low:g}-{high:g}")
        for (grey, _), (low, high) in zip(GREYS, PARTS, strict=True)
    ]
    parts[0].set_label(f"$t/T$ in {parts[0].get_label()}")
    right.legend(handles=parts, loc="lower center", bbox_to_anchor=(0.5, 0.98), ncols=3)
    legend(figure, entries)
    return figure


def _bars(axis: Axes, shares: dict[str, Any], said: str, named: bool = True) -> None:
    for row, share in enumerate(shares.values()):
        left = 0.0
        for (grey, ink), value in zip(GREYS, share["mean"], strict=True):
            axis.barh(row, 100 * value, left=100 * left, color=grey, height=0.72)
            if value >= LEGIBLE:
                middle = 100 * (left + value / 2)
                axis.text(middle, row, f"{100 * value:.0f}", color=ink, ha="center", va="center", fontsize=7)
            left += value
    around = 0.5 + max(0, 3 - len(shares)) / 2  # one or two bars are no thicker than three
    axis.set_ylim(len(shares) - 1 + around, -around)
    axis.set(xlim=(0, 100), xlabel=said)
    axis.set_yticks(range(len(shares)), [literal(label) if named else "" for label in shares])
    axis.tick_params(axis="y", length=0)
    axis.grid(False)
