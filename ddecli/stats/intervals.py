"""Confidence intervals of means over prompts and trainings.

Images of one prompt resemble each other, so a number a prompt is what is averaged. Trainings that differ by their seed
alone come out differently, and there are few of them: the interval has to say both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

CONFIDENCE = 0.95


class Interval(NamedTuple):
    """A confidence interval."""

    low: float
    high: float

    def excludes(self, bound: float) -> bool:
        """Whether it lies wholly on one side of a number."""
        return self.low > bound or self.high < bound

    def within(self, least: float, most: float) -> Interval:
        """The part of it that a number can take, such as a share from 0 to 1."""
        return Interval(*(min(max(end, least), most) for end in self))


class VariancePart(NamedTuple):
    """A part of the variance of a mean, and the degrees of freedom that it was estimated with."""

    variance: float
    freedom: float


@dataclass(frozen=True)
class Estimate:
    """A number with what its error is made of.

    Attributes:
        parts: of its variance, independent of each other; none of an exact number.
        by_training: the number of each training, where one training a time makes it; else empty.
        spread: standard deviation (n - 1) of the number from training to training; None where it is not known.
    """

    value: float
    parts: tuple[VariancePart, ...]
    by_training: tuple[float, ...] = ()
    spread: float | None = None

    def interval(self, level: float = CONFIDENCE) -> Interval | None:
        """Where the true number lies, with a probability of `level`.

        The half width is that of Cochran and Cox (Experimental Designs, 1950, section 4.14): the square root of the
        summed variances, times the mean of Student's quantiles of the parts, weighted by their variances,

            h = sum_i(v_i t_i) / sqrt(sum_i v_i).

        It lies between Satterthwaite's, which covers too seldom where a part has two or three degrees of freedom
        (92 % for 95 % with three trainings), and Banerjee's, `sqrt(sum_i v_i t_i^2)`, which covers too often.

        Returns:
            None where a part has no degree of freedom: its variance is unknown.
        """
        if any(part.freedom <= 0 for part in self.parts):
            return None
        from scipy.special import stdtrit  # Student's quantiles

        total = sum(part.variance for part in self.parts)
        weighted = sum(
            part.variance * float(stdtrit(part.freedom, (1 + level) / 2))
            for part in self.parts
            if part.variance > 0
        )
        half = weighted / np.sqrt(total) if total > 0 else 0.0
        return Interval(float(self.value - half), float(self.value + half))

    @property
    def below(self) -> int | None:
        """How many trainings lie below zero; None where they do not stand one by one."""
        return sum(value < 0 for value in self.by_training) if self.by_training else None


def corrected_level(number: int) -> float:
    """Level of each of a number of intervals that share 5 % of error among them (Bonferroni)."""
    return 1 - (1 - CONFIDENCE) / max(1, number)


def estimate(*sides: np.ndarray) -> Estimate:
    """The mean of values by prompt and training, or the sum of such means of rows trained independently.

    A value is `mean + prompt + training + rest`, all but the first drawn at random. The mean of `k` trainings on the
    same `n` prompts has the variance `s_prompt / n + (s_training + s_rest / n) / k`. The variance between the means of
    trainings over `k`, with `k - 1` degrees of freedom, estimates the second term. That between the means of prompts
    over `n` estimates the first and `s_rest / (n k)`, which the variance of the rest takes out again; it has `n - 1`.
    Several rows are not taken to scatter alike: their second terms are joined as Welch does. Of a row with one
    training there is no second term: the estimate is about that training.

    Args:
        sides: each `(prompts, trainings)`, the same prompts in all. The difference of two rows that are no pairs is
            `estimate(a, -b)`; of rows paired by seed it is `estimate(a - b)`.

    Returns:
        With one prompt a part without freedom, so that there is no interval.
    """
    count = len(sides[0])
    value = float(sum(side.mean() for side in sides))
    by_prompt = np.sum([side.mean(axis=1) for side in sides], axis=0)
    over_prompts = float(by_prompt.var(ddof=1)) / count if count > 1 else 0.0
    between = []
    for side in sides:
        trainings = side.shape[1]
        if trainings == 1:
            continue
        means = side.mean(axis=0)
        between.append(VariancePart(float(means.var(ddof=1)) / trainings, trainings - 1))
        if count > 1:
            rest = side - side.mean(axis=1, keepdims=True) - means + side.mean()
            freedom = (count - 1) * (trainings - 1)
            over_prompts -= float((rest**2).sum()) / freedom / (count * trainings)
    parts = [VariancePart(max(0.0, over_prompts), count - 1)]
    if between:
        parts.append(joined(between))
    many = [side for side in sides if side.shape[1] > 1]
    spread = float(np.sqrt(sum(side.mean(axis=0).var(ddof=1) for side in many))) if many else None
    alone = many[0].mean(axis=0) + (value - many[0].mean()) if len(many) == 1 else ()
    return Estimate(value, tuple(parts), tuple(map(float, alone)), spread)


def joined(parts: Sequence[VariancePart]) -> VariancePart:
    """Parts of one kind as one, with the degrees of freedom of Welch and Satterthwaite."""
    total = sum(part.variance for part in parts)
    if any(part.freedom <= 0 for part in parts):
        return VariancePart(total, 0)
    squares = sum(part.variance**2 / part.freedom for part in parts)
    return VariancePart(total, total**2 / squares if squares else min(part.freedom for part in parts))


def estimate_over_trainings(*sides: np.ndarray) -> Estimate:
    """The mean of numbers that a training has once, `(trainings,)`, or the sum of such means of independent rows.

    With one training a part has no freedom, so that there is no interval.
    """
    value = float(sum(side.mean() for side in sides))
    variances = [float(side.var(ddof=1)) if len(side) > 1 else 0.0 for side in sides]
    parts = [
        VariancePart(variance / len(side), len(side) - 1)
        for variance, side in zip(variances, sides, strict=True)
    ]
    known = all(len(side) > 1 for side in sides)
    alone = tuple(map(float, sides[0])) if len(sides) == 1 and known else ()
    return Estimate(value, (joined(parts),), alone, float(np.sqrt(sum(variances))) if known else None)


def ratio_values(numerators: np.ndarray, denominators: np.ndarray) -> np.ndarray:
    """Values by prompt whose mean is a ratio of means, and varies as it does to the first order (delta method).

    Args:
        numerators: `(prompts, trainings)`.
        denominators: `(prompts, 1)`, with a mean that is not zero.

    Returns:
        `(prompts, trainings)`; where the denominators are all equal, the ratios prompt by prompt.
    """
    middle = denominators.mean()
    ratios = numerators.mean(axis=0, keepdims=True) / middle
    values: np.ndarray = ratios + (numerators - ratios * denominators) / middle
    return values


def gain_percent(values: np.ndarray, base: np.ndarray) -> Estimate | None:
    """Gain of a row over its base in percent of the base, the same prompts in both.

    A percentage means nothing where the base is not clearly above zero (a utility, unlike a cosine, can be
    negative): there it is None.

    Args:
        values, base: `(prompts, trainings)`, the base's with one training.
    """
    middle = estimate(base)
    interval = middle.interval()
    if (interval.low if interval else middle.value) <= 0:
        return None
    return estimate(100 * (ratio_values(values, base.mean(axis=1, keepdims=True)) - 1))
