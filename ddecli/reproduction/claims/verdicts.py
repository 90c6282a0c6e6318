"""What a comparison is, and how comparisons decide a claim."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from ddecli.stats.intervals import CONFIDENCE, Estimate, Interval

REPRODUCED, NOT_REPRODUCED = "reproduced", "not reproduced"
UNDECIDED, NOT_MEASURED = "undecided at this size", "not measured"
VERDICTS = (REPRODUCED, NOT_REPRODUCED, UNDECIDED, NOT_MEASURED)
Answer = Literal["holds", "fails", "open"]


@dataclass(frozen=True)
class ClaimComparison:
    """One number that a claim says lies above (or below) a bound.

    Attributes:
        label: what is compared, as in "DDE − Uni".
        quantity: in what: a metric's name, or what the number is.
        estimate: the number.
        interval: where it lies; None where that is not known. Low and high are equal for an exact number.
        level: of the interval, corrected for the number of comparisons or rows.
        bound: the number that the interval is held against.
        above: the claimed side.
        refutable: False where the other side proves nothing, so that the comparison stays open there.
        base: mean of the second of the two, to which `estimate` is a difference; None for other numbers.
        gain_percent: the difference in percent of the base model's mean; None where it is another number.
        paper: what the paper's text states, or "not available"; empty where it has no such figure.
        spread: standard deviation (n - 1) of the number from training to training; None where it is not known.
        trainings: number of trainings, or pairs of them, that it was formed of one by one; 0 where they make no pairs.
        below: in how many of them the number lies below the bound.
    """

    label: str
    quantity: str
    estimate: float
    interval: Interval | None
    bound: float = 0.0
    above: bool = True
    refutable: bool = True
    base: float | None = None
    gain_percent: float | None = None
    paper: str = ""
    spread: float | None = None
    trainings: int = 0
    below: int = 0
    level: float = CONFIDENCE

    @property
    def answer(self) -> Answer:
        """Whether the interval lies wholly on the claimed side, wholly on the other, or on both."""
        if self.interval is None or not self.interval.excludes(self.bound):
            return "open"
        if (self.interval.low > self.bound) == self.above:
            return "holds"
        return "fails" if self.refutable else "open"

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self) | {"answer": self.answer}


@dataclass(frozen=True)
class Outcome:
    """What a claim's test found.

    Attributes:
        comparisons: empty where something is missing.
        missing: what is not there, so that the claim is not measured.
        needed: how many comparisons must hold; None for all.
        remarks: facts that a reader of the verdict should know.
    """

    comparisons: tuple[ClaimComparison, ...] = ()
    missing: str = ""
    needed: int | None = None
    remarks: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """One of `VERDICTS`."""
        answers = [each.answer for each in self.comparisons]
        if self.missing or not answers:
            return NOT_MEASURED
        needed = len(answers) if self.needed is None else self.needed
        if answers.count("holds") >= needed:
            return REPRODUCED
        return NOT_REPRODUCED if len(answers) - answers.count("fails") < needed else UNDECIDED


def compared(
    label: str, quantity: str, found: Estimate, level: float, bound: float = 0.0, **given: Any
) -> ClaimComparison:
    """A comparison of an estimate with a bound; `given` are the other attributes of `ClaimComparison`."""
    below = sum(value < bound for value in found.by_training)
    return ClaimComparison(
        label,
        quantity,
        found.value,
        found.interval(level),
        bound,
        spread=found.spread,
        trainings=len(found.by_training),
        below=below,
        level=level,
        **given,
    )
