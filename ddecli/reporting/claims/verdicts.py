"""What a comparison is, and how comparisons decide a claim."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from ddecli.reporting.bootstrap import CONFIDENCE, Interval

REPRODUCED, NOT_REPRODUCED = "reproduced", "not reproduced"
UNDECIDED, NOT_MEASURED = "undecided at this size", "not measured"
VERDICTS = (REPRODUCED, NOT_REPRODUCED, UNDECIDED, NOT_MEASURED)
Answer = Literal["holds", "fails", "open"]


@dataclass(frozen=True)
class Comparison:
    """One number that a claim says lies above (or below) a bound.

    Attributes:
        label: what is compared, as in "DDE − Uni".
        quantity: in what: a metric's name, or what the number is.
        estimate: the number.
        interval: where it lies; None where that is not known. Low and high are equal for an exact number.
        strict: the interval that takes the spread between trainings by Student's t; None where that spread is
            not known.
        bound: the number that the interval is held against.
        above: the claimed side.
        refutable: False where the other side proves nothing, so that the comparison stays open there.
        base: mean of the second of the two, to which `estimate` is a difference; None for other numbers.
        gain_percent: the difference in percent of the base model's mean; None where it is another number.
        paper: what the paper's text states, or "not available"; empty where it has no such figure.
    """

    label: str
    quantity: str
    estimate: float
    interval: Interval | None
    strict: Interval | None
    bound: float = 0.0
    above: bool = True
    refutable: bool = True
    base: float | None = None
    gain_percent: float | None = None
    paper: str = ""

    @property
    def answer(self) -> Answer:
        """Whether the interval lies wholly on the claimed side, wholly on the other, or on both."""
        return self._answer(self.interval)

    @property
    def strict_answer(self) -> Answer:
        """The same, of the strict interval."""
        return self._answer(self.strict)

    def _answer(self, interval: Interval | None) -> Answer:
        if interval is None or not (interval.low > self.bound or interval.high < self.bound):
            return "open"
        if (interval.low > self.bound) == self.above:
            return "holds"
        return "fails" if self.refutable else "open"

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self) | {"answer": self.answer, "strict_answer": self.strict_answer}


@dataclass(frozen=True)
class Outcome:
    """What a claim's test found.

    Attributes:
        comparisons: empty where something is missing.
        missing: what is not there, so that the claim is not measured.
        needed: how many comparisons must hold; None for all.
        remarks: facts that a reader of the verdict should know.
    """

    comparisons: tuple[Comparison, ...] = ()
    missing: str = ""
    needed: int | None = None
    remarks: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """One of `VERDICTS`."""
        return self._verdict([each.answer for each in self.comparisons])

    @property
    def strict_verdict(self) -> str:
        """The verdict that the strict intervals would give."""
        return self._verdict([each.strict_answer for each in self.comparisons])

    def _verdict(self, answers: Sequence[Answer]) -> str:
        if self.missing or not answers:
            return NOT_MEASURED
        needed = len(answers) if self.needed is None else self.needed
        if answers.count("holds") >= needed:
            return REPRODUCED
        return NOT_REPRODUCED if len(answers) - answers.count("fails") < needed else UNDECIDED


def corrected_level(comparisons: int) -> float:
    """Level of each interval of a claim with several comparisons: their 5 % of error is shared (Bonferroni)."""
    return 1 - (1 - CONFIDENCE) / comparisons


def student_interval(
    estimate: float, variances: Sequence[tuple[float, int]], level: float
) -> Interval | None:
    """Student's interval of a sum of independent parts, whose half widths add up as the root of their squares.

    Joined so, an interval never covers less often than its level says (Banerjee 1960), however few the degrees of
    freedom; Welch's and Satterthwaite's does where one part has one or two.

    Args:
        estimate: the middle.
        variances: of each part the variance of its mean and the degrees of freedom it was estimated with.
        level: such as 0.95.

    Returns:
        None where a part has no degree of freedom: its variance is unknown.
    """
    from scipy.stats import t

    if any(freedom < 1 for _, freedom in variances):
        return None
    squares = [t.ppf((1 + level) / 2, freedom) ** 2 * variance for variance, freedom in variances]
    half = math.sqrt(sum(squares))
    return Interval(estimate - half, estimate + half)


def mean_variance(values: np.ndarray) -> tuple[float, int]:
    """Variance of the mean of independent values `(count,)`, and its degrees of freedom."""
    count = len(values)
    return (float(values.var(ddof=1) / count), count - 1) if count > 1 else (0.0, 0)


def over_trainings(values: np.ndarray, level: float) -> Interval | None:
    """Student's interval of the mean of one number a training, `(trainings,)`; None for one training."""
    return student_interval(float(values.mean()), [mean_variance(values)], level)
