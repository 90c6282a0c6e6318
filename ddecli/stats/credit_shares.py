"""Shares of credit over training: of each part of the trajectory, over the steps around each step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from ddecli.core.segments import CLEAN, MIDDLE, NOISE
from ddecli.stats.runs import Credit

By = Literal["norm", "weight"]
"""Whether credit is the norm of gradients in the weights, or the gradient weight `|dL/dD|` by errors of the noise."""
PARTS = (CLEAN, MIDDLE, NOISE)
WINDOW = 0.1
"""Share of the steps that a number is taken over: a single step visits few timesteps."""


def measure(runs: Sequence[Credit]) -> By:
    """Norms, if every run measured them."""
    return "weight" if any(run.norms is None for run in runs) else "norm"


def window_of(steps: int) -> int:
    """The odd number of steps around each over which credit is summed up."""
    return 2 * int(WINDOW * steps / 2) + 1


def shares(run: Credit, by: By) -> np.ndarray:
    """The share of each part in the credit of the window around each step, `(parts, steps)`; NaN without credit."""
    credit = run.norms if by == "norm" else run.weight_sum
    assert credit is not None
    t, window = (run.edges[:-1] + run.edges[1:]) / 2, window_of(run.size)
    parts = [credit[:, (low <= t) & (t < high)].sum(axis=1) for low, high in PARTS]
    sums = np.stack([windowed(part, window) for part in parts])
    total = sums.sum(axis=0)
    return np.divide(sums, total, out=np.full(sums.shape, np.nan), where=total > 0)


def windowed(values: np.ndarray, window: int) -> np.ndarray:
    """Sums over a centred window of an odd number of steps, cut at the ends. `(steps,)` -> `(steps,)`."""
    return np.convolve(values, np.ones(window), "same")
