"""The loss `-log sigmoid(z)`, its gradient, and where it saturates (Sec. 3.4 of the paper)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ddecli.core.errors import UserError
from ddecli.figures.save import Numbers
from ddecli.figures.style import COLUMN, colours, legend, literal, marker
from ddecli.stats.rows import Folders
from ddecli.stats.runs import Metrics, load_metrics, load_runs

SATURATED = 0.05
"""The gradient `sigmoid(-z)` is below this: a tenth of its size where policy and reference agree (z = 0)."""
RANGE = (-6.0, 8.0)
WIDEST = 40.0
"""Logits farther out than this are cut at the edge of the figure."""
BESIDE = 0.25
"""How far below its bar the dots of single seeds stand; bars are 1 apart."""
LAST = 0.1
"""Share of the steps, the last ones, whose logits are shown."""


def numbers(folders: Folders) -> Numbers:
    """The curves, and mean and standard deviation of the logits of runs in their last steps.

    Args:
        folders: runs by label; may be empty.

    Returns:
        logits: by label over the pairs of all seeds' last steps, and of each seed.

    Raises:
        UserError: a run without metrics.jsonl or without logits.
    """
    runs = load_runs(folders, load_metrics)
    logits = {label: _logits(given) for label, given in runs.items()}
    ends = [each["mean"] + side * each["std"] for each in logits.values() for side in (-1.3, 1.3)]
    low, high = max(min([RANGE[0], *ends]), -WIDEST), min(max([RANGE[1], *ends]), WIDEST)
    z = np.linspace(low, high, 561)
    return {
        "figure": "log-sigmoid",
        "rows": dict(folders),
        "z": z,
        "loss": np.logaddexp(0, -z),
        "gradient": 1 / (1 + np.exp(z)),
        "saturated_below_gradient": SATURATED,
        "saturated_from_z": math.log(1 / SATURATED - 1),
        "logits": logits,
    }


def _logits(runs: list[Metrics]) -> dict[str, Any]:
    last = max(1, math.ceil(LAST * runs[0].size))
    seeds = []
    for run in runs:
        mean, std = (
            run.values.get(name, np.full(run.size, np.nan))[-last:] for name in ("logit", "logit_std")
        )
        if not np.isfinite(mean).all():
            margin = run.values.get("margin", np.full(run.size, np.nan))
            why = "is no -log sigmoid of one" if np.isfinite(margin).any() else "compares no pairs"
            raise UserError(f"{run.name} has no logits: its loss {why}; leave it out.")
        seeds.append(_pooled(mean, std))
    together = _pooled(*np.transpose(seeds))
    return {
        "mean": together[0],
        "std": together[1],
        "last_steps": last,
        "seeds": [{"mean": each[0], "std": each[1]} for each in seeds],
    }


def _pooled(mean: np.ndarray, std: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation of equally large groups taken together."""
    return float(mean.mean()), float(np.sqrt(np.mean(std**2) + mean.var()))


def draw(numbers: Numbers) -> Figure:
    """The curves above; below them, on the same axis, a bar a label, mean ± standard deviation over pairs of all seeds;
    small dots are the means of single seeds."""
    logits = numbers["logits"]
    strip = 0.22 * len(logits) + 0.1
    figure = Figure(figsize=(COLUMN, 2.4 + (strip if logits else 0)), layout="constrained")
    if logits:
        top, bottom = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [1.9, strip]})
    else:
        top = bottom = figure.subplots()
    z, saturated = numbers["z"], numbers["saturated_from_z"]
    (loss,) = top.plot(z, numbers["loss"], color="black")
    (gradient,) = top.plot(z, numbers["gradient"], color="black", linestyle="--")
    top.set_ylim(0, min(max(numbers["loss"]), 6.2))
    for axis in figure.axes:
        shade = axis.axvspan(saturated, z[-1], color="#EBEBEB", linewidth=0, zorder=0)
    colour = colours(list(logits))
    for row, (label, found) in enumerate(logits.items()):
        if len(found["seeds"]) > 1:
            means = [seed["mean"] for seed in found["seeds"]]
            places = [row + BESIDE] * len(means)
            bottom.plot(means, places, color=colour[label], marker="o", markersize=2.0, linestyle="none")
        bottom.errorbar(
            found["mean"], row, xerr=found["std"], color=colour[label], marker=marker(label), markersize=4.5
        )
    if logits:
        bottom.set(ylim=(len(logits) - 0.4, -0.6))
        bottom.set_yticks(range(len(logits)), [literal(label) for label in logits])
        bottom.tick_params(axis="y", length=0)
        bottom.grid(False, axis="y")
    bottom.set(xlim=(z[0], z[-1]), xlabel="logit $z$")
    legend(
        figure,
        [
            (loss, "loss $-\\log\\,\\sigma(z)$"),
            (gradient, "gradient $\\sigma(-z)$"),
            (shade, f"saturated: $\\sigma(-z)$ < {numbers['saturated_below_gradient']:g}"),
        ],
    )
    return figure
