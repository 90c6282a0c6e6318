"""Loss, implicit accuracy, margin and gradient norm over training."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ddecli.core.errors import UserError
from ddecli.figures.save import Numbers
from ddecli.figures.style import colours, legend, line, literal, log_scale, panels
from ddecli.stats.rows import Folders
from ddecli.stats.runs import load_metrics, load_runs

PANELS = {
    "loss": "loss",
    "implicit_accuracy": "implicit accuracy",
    "margin": "error margin $D$",
    "gradient_norm": "gradient norm",
}
WINDOW = 0.05
"""Share of the steps over which the thick line is a running mean: single steps are noisy."""


def numbers(folders: Folders) -> Numbers:
    """Metrics of every label's runs by step.

    Returns:
        curves: by label the steps, the window of the running mean, and for each metric every seed's values and
            `mean`, over seeds and over the steps of a centred window; None for what a loss does not have (sft has no
            pairs).

    Raises:
        UserError: no rows, a run without metrics.jsonl, or seeds of unequal runs.
    """
    runs = load_runs(folders, load_metrics)
    if not runs:
        raise UserError("The figure needs runs: DDE=runs/tiny-dde.")
    curves: dict[str, Any] = {}
    for label, given in runs.items():
        window = 2 * int(WINDOW * given[0].size / 2) + 1
        curves[label] = {"step": given[0].values["step"].astype(int), "window": window}
        for metric in PANELS:
            absent = np.full(given[0].size, np.nan)
            seeds = np.stack([run.values.get(metric, absent) for run in given])
            is_known = bool(np.isfinite(seeds).any())
            curves[label][metric] = (
                {"seeds": seeds, "mean": running_mean(seeds.mean(axis=0), window)} if is_known else None
            )
    return {
        "figure": "curves",
        "rows": dict(folders),
        "curves": curves,
    }


def running_mean(values: np.ndarray, window: int) -> np.ndarray:
    """Centred mean over an odd number of steps, over those there are near the ends. `(steps,)` -> `(steps,)`."""
    kernel = np.ones(window)
    return np.convolve(values, kernel, "same") / np.convolve(np.ones(len(values)), kernel, "same")


def draw(numbers: Numbers) -> Figure:
    """Four panels; each seed thin, the mean thick."""
    figure, axes = panels(len(PANELS), height=2.0)
    colour = colours(list(numbers["curves"]))
    entries: dict[str, Artist] = {}
    for axis, (metric, name) in zip(axes, PANELS.items(), strict=True):
        for label, curve in numbers["curves"].items():
            if curve[metric] is None:
                continue
            for seed in curve[metric]["seeds"]:
                axis.plot(curve["step"], seed, color=colour[label], linewidth=0.5, alpha=0.25)
        for label, curve in numbers["curves"].items():  # on top of all thin ones
            if curve[metric] is not None:
                mean = curve[metric]["mean"]
                (entries[label],) = axis.plot(curve["step"], mean, color=colour[label], linestyle=line(label))
        _scale(axis, metric)
        axis.set(xlim=(0, None), xlabel="training steps", ylabel=name)
    legend(figure, [(entries[label], literal(label)) for label in numbers["curves"]])
    return figure


def _scale(axis: Axes, metric: str) -> None:
    if metric == "gradient_norm":
        log_scale(axis)
    elif metric == "implicit_accuracy":
        axis.axhline(0.5, color="#555555", linewidth=0.7)
    elif metric == "margin":
        axis.axhline(0, color="#555555", linewidth=0.7)
        axis.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3), useMathText=True)
