"""The percentile bootstrap over prompts.

Images of one prompt resemble each other, so a prompt, not an image, is what is drawn again: an interval that
took the images for independent would be too narrow.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ddecli.core.seeds import numpy_rng

CONFIDENCE = 0.95
CHUNK = 4_000_000
"""Numbers drawn at a time: 32 MB, whatever the number of prompts."""


class Interval(NamedTuple):
    """A confidence interval."""

    low: float
    high: float


def resampled_means(values: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """Means over prompts drawn with replacement.

    Args:
        values: `(prompts, series)`. A draw takes the same prompts in every series: they stay paired.
        draws: number of bootstrap samples.
        seed: decides the draws, together with the number of prompts.

    Returns:
        `(draws, series)`.
    """
    prompts = len(values)
    rng = numpy_rng("bootstrap over prompts", seed)
    means = np.empty((draws, values.shape[1]))
    rows = max(1, CHUNK // prompts)
    for start in range(0, draws, rows):
        count = min(rows, draws - start)
        drawn = rng.integers(prompts, size=(count, prompts))
        drawn += np.arange(count)[:, None] * prompts
        times = np.bincount(drawn.ravel(), minlength=count * prompts).reshape(count, prompts)
        means[start : start + count] = times @ values / prompts
    return means


def resampled_weights(count: int, draws: int, seed: int, *name: str) -> np.ndarray:
    """Weights `(draws, count)` that draw `count` training seeds with replacement; a row sums to one."""
    rng = numpy_rng("bootstrap over seeds", seed, *name)
    return rng.multinomial(count, np.full(count, 1 / count), size=draws) / count


def percentile_interval(draws: np.ndarray, level: float = CONFIDENCE) -> Interval:
    """The middle 95 % (or another level) of bootstrap draws `(draws,)`."""
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def gain_percent(
    mean: float, base: float, means: np.ndarray, bases: np.ndarray, interval: bool = True
) -> tuple[float | None, Interval | None]:
    """Gain of `mean` over `base` in percent of `base`, with its interval from the draws of both.

    A percentage means nothing where the base is not clearly above zero (a utility, unlike a cosine, can be
    negative): there both are None. `interval=False` leaves the interval out.
    """
    if base <= 0 or bases.min() <= 0:
        return None, None
    drawn = percentile_interval(100 * (means / bases - 1)) if interval else None
    return float(100 * (mean / base - 1)), drawn
