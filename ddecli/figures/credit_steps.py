"""Credit over training: the shares of three parts of the trajectory by step, and the sigmoid factor beside them."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ddecli.core.errors import UserError
from ddecli.figures.save import Numbers
from ddecli.figures.style import COLOURS, colours, legend, line, literal, panels
from ddecli.objectives.registry import method_of
from ddecli.stats.credit_shares import PARTS, By, shares, window_of, windowed
from ddecli.stats.rows import Folders
from ddecli.stats.runs import Credit, load_credit, load_runs, shared_edges

SHARES: dict[By, str] = {
    "norm": "share of gradient norm, %",
    "weight": "share of $|\\partial L/\\partial D|$\nby noise errors, %",
}

LINES: tuple[Any, ...] = ("-", (0, (4, 1.2)), (0, (1, 1)), (0, (6, 1, 1.5, 1)))
"""Of the settings of one method, in their order."""


def numbers(folders: Folders, by: By | None = None) -> Numbers:
    """Shares of credit by step of every label's runs.

    Args:
        by: whether credit is the norm of gradients in the weights, or the gradient weight `|dL/dD|` by errors of the
            noise; None: norms, if every run measured them.

    Returns:
        by: the measure.
        steps: by label the steps and the window, in steps, around each over which credit is summed up; `share` (seeds,
            parts, steps), a part's share of the whole, and its mean over seeds; `sigmoid_factor` (seeds, steps), the
            mean of `sigmoid(-z)` over the window's pairs, and its mean over seeds, None where a run did not record it.
            None where nothing was measured in a window.

    Raises:
        UserError: no rows, a run without credit.npz or without the norms that are asked for, or seeds of unequal runs.
    """
    runs = load_runs(folders, load_credit)
    if not runs:
        raise UserError('The figure needs runs: "beta 20"=runs/a "beta 320"=runs/b.')
    shared_edges(runs)
    unmeasured = [run.name for given in runs.values() for run in given if run.norms is None]
    by = by or ("weight" if unmeasured else "norm")
    if by == "norm" and unmeasured:
        raise UserError(
            f"{unmeasured[0]} did not measure norms of gradients in each tenth of the trajectory: train with a smaller "
            "--credit-gradients, or give --by weight."
        )
    return {
        "figure": "credit-steps",
        "rows": dict(folders),
        "by": by,
        "parts": PARTS,
        "steps": {label: _curves(given, by) for label, given in runs.items()},
    }


def _curves(runs: list[Credit], by: By) -> dict[str, Any]:
    window = window_of(runs[0].size)
    found = np.stack([shares(run, by) for run in runs])
    factors = [_factor(run, window) for run in runs]
    known = [each for each in factors if each is not None]
    return {
        "step": np.arange(1, runs[0].size + 1),
        "window": window,
        "share": {"seeds": found, "mean": found.mean(axis=0)},
        "sigmoid_factor": {"seeds": np.stack(known), "mean": np.mean(known, axis=0)}
        if len(known) == len(runs)
        else None,
    }


def _factor(run: Credit, window: int) -> np.ndarray | None:
    """`(steps,)`, NaN where the window holds no pair; None where the factor was not recorded."""
    if run.sigmoid_sum is None:
        return None
    visits = windowed(run.count.sum(axis=1), window)
    sums = windowed(run.sigmoid_sum.sum(axis=1), window)
    return np.divide(sums, visits, out=np.full(len(sums), np.nan), where=visits > 0)


def draw(numbers: Numbers) -> Figure:
    """A panel for each part, and one of the sigmoid factor if a label has it; each seed thin, the mean thick."""
    curves = numbers["steps"]
    with_factor = any(curve["sigmoid_factor"] for curve in curves.values())
    figure, axes = panels(len(PARTS) + with_factor, height=2.0)
    styles = _styles(list(curves))
    entries: list[tuple[Artist, str]] = []
    for axis, (number, (low, high)) in zip(axes, enumerate(numbers["parts"]), strict=False):
        for label, curve in curves.items():
            seeds = [100 * np.array(seed[number], dtype=float) for seed in curve["share"]["seeds"]]
            mean = 100 * np.array(curve["share"]["mean"][number], dtype=float)
            (handle,) = _plot(axis, curve["step"], seeds, mean, *styles[label])
            if number == 0:
                entries.append((handle, literal(label)))
        axis.set(ylim=(0, 100), title=f"$t/T$ in {low:g}-{high:g}", ylabel=SHARES[numbers["by"]])
    if with_factor:
        for label, curve in curves.items():
            if curve["sigmoid_factor"]:
                seeds = [np.array(seed, dtype=float) for seed in curve["sigmoid_factor"]["seeds"]]
                mean = np.array(curve["sigmoid_factor"]["mean"], dtype=float)
                _plot(axes[-1], curve["step"], seeds, mean, *styles[label])
        axes[-1].axhline(0.5, color="#555555", linewidth=0.7)
        axes[-1].set(
            ylim=(0, max(0.6, axes[-1].get_ylim()[1])), title="all timesteps", ylabel="sigmoid factor"
        )
    for axis in axes:
        axis.set(xlim=(0, None), xlabel="training steps")
    legend(figure, entries)
    return figure


def _styles(labels: list[str]) -> dict[str, tuple[str, Any]]:
    """Colour and line of every label; settings of a method, as in `DDE beta 20`, have its colour and a line each."""
    methods = {label: method_of(label.split(" ")[0]) for label in labels}
    usual = colours(labels)
    found: dict[str, tuple[str, Any]] = {}
    for label, method in methods.items():
        alike = [other for other in labels if methods[other] == method]
        if method in COLOURS and len(alike) > 1:
            found[label] = COLOURS[method], LINES[alike.index(label) % len(LINES)]
        else:
            found[label] = usual[label], line(label)
    return found


def _plot(
    axis: Axes, step: list[int], seeds: list[np.ndarray], mean: np.ndarray, colour: str, style: Any
) -> list[Any]:
    for seed in seeds if len(seeds) > 1 else []:
        axis.plot(step, seed, color=colour, linewidth=0.5, alpha=0.35)
    return axis.plot(step, mean, color=colour, linestyle=style)
