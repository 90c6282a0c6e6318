"""The weights of the losses by timestep (Sec. 3.4 of the paper)."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from ddecli.reporting.figures.save import Numbers
from ddecli.reporting.figures.style import COLOURS, T_LABEL, legend, panels

CURVES = {  # what is plotted: its key, its formula, the methods that weigh the error margin so, colour, line
    "single_shot": ("$c_t = 1\\,/\\,$SNR$(t)$", "black", ":"),
    "dde": ("$c_t/2$ (DDE, DDE-Single)", COLOURS["dde"], "-"),
    "uniform": ("$1/2$ (Uni, Disc)", COLOURS["uniform"], "-"),
    "dde_step": ("$t\\,\\lambda_t$ (DDE-Step)", COLOURS["dde-step"], "-"),
}


def numbers(model: str, single_shot_weights: np.ndarray, step_weights: np.ndarray) -> Numbers:
    """The factor in front of the error margin `D(t)` in every loss.

    Args:
        model: whose schedule it is.
        single_shot_weights: `c_t = 1 / SNR(t)` of every timestep, `(T,)`.
        step_weights: `lambda_t` of every timestep, `(T,)`.

    Returns:
        `t` in the paper's numbering 1..T, and a curve `(T,)` each for `c_t`, `c_t / 2`, `1 / 2` and `t lambda_t`;
        None where a weight is infinite (zero SNR).
    """
    t = np.arange(1, len(single_shot_weights) + 1)
    return {
        "figure": "coefficients",
        "model": model,
        "num_timesteps": len(t),
        "t": t,
        "single_shot": single_shot_weights,
        "dde": single_shot_weights / 2,
        "uniform": np.full(len(t), 0.5),
        "dde_step": t * step_weights,
    }


def draw(numbers: Numbers) -> Figure:
    """All curves in one panel on a logarithmic scale."""
    figure, (axis,) = panels(1, height=2.6)
    t = np.array(numbers["t"]) / numbers["num_timesteps"]
    entries = []
    for name, (formula, colour, line) in CURVES.items():
        (curve,) = axis.plot(t, np.array(numbers[name], dtype=float), color=colour, linestyle=line)
        entries.append((curve, formula))
    axis.set(xlim=(0, 1), yscale="log", xlabel=T_LABEL, ylabel="weight of the error margin")
    legend(figure, entries)
    return figure
