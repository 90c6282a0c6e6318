"""The weights of the losses by timestep (Sec. 3.4 of the paper)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from ddecli.figures.save import Numbers
from ddecli.figures.style import T_LABEL, legend, panels
from ddecli.objectives.registry import LOSSES

SINGLE_SHOT = "single_shot"


def numbers(model: str, single_shot_weights: np.ndarray, weights: Mapping[str, np.ndarray]) -> Numbers:
    """The factor in front of the error margin `D(t)` in every loss.

    Args:
        model: whose schedule it is.
        single_shot_weights: `c_t = 1 / SNR(t)` of every timestep, `(T,)`.
        weights: by the name of a loss, its factor at every timestep, `(T,)`.

    Returns:
        `t` in the paper's numbering 1..T, and a curve `(T,)` each for `c_t` and for the losses, those that weigh alike
        in one by the name of the first; None where a weight is infinite (zero SNR).
    """
    t = np.arange(1, len(single_shot_weights) + 1)
    alike = {_key(first): (weights[first], names) for first, names in _alike(weights).items()}
    return {
        "figure": "coefficients",
        "model": model,
        "num_timesteps": len(t),
        "t": t,
        SINGLE_SHOT: single_shot_weights,
        **{key: curve for key, (curve, _) in alike.items()},
        "losses": {key: names for key, (_, names) in alike.items()},
    }


def draw(numbers: Numbers) -> Figure:
    """All curves in one panel on a logarithmic scale."""
    figure, (axis,) = panels(1, height=2.6)
    t = np.array(numbers["t"]) / numbers["num_timesteps"]
    curves = [(SINGLE_SHOT, "$c_t = 1\\,/\\,$SNR$(t)$", "black", ":")]
    for key, names in numbers["losses"].items():
        first = LOSSES[names[0]]
        of = ", ".join(LOSSES[name].label for name in names)
        curves.append((key, f"${first.formula}$ ({of})", first.colour, "-"))
    entries = []
    for key, formula, colour, line in curves:
        (curve,) = axis.plot(t, np.array(numbers[key], dtype=float), color=colour, linestyle=line)
        entries.append((curve, formula))
    axis.set(xlim=(0, 1), yscale="log", xlabel=T_LABEL, ylabel="weight of the error margin")
    legend(figure, entries)
    return figure


def _key(loss: str) -> str:
    return loss.replace("-", "_")


def _alike(weights: Mapping[str, np.ndarray]) -> dict[str, list[str]]:
    """The losses that weigh every timestep alike, by the first of them."""
    found: dict[str, list[str]] = {}
    for name, values in weights.items():
        same = (first for first in found if np.array_equal(values, weights[first], equal_nan=True))
        found.setdefault(next(same, name), []).append(name)
    return found
