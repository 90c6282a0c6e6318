"""What the paper does not report: whether the hidden utility rises with the scorers, and the cost in diversity."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from ddecli.reproduction.evidence import ModelEvidence
from ddecli.reproduction.experiment import BASE
from ddecli.stats.intervals import Interval, corrected_level
from ddecli.stats.metrics import NAMES, TRUTH, is_judgement
from ddecli.stats.rows import difference


@dataclass(frozen=True)
class Change:
    """A metric's mean of one method, and its difference to the base.

    Attributes:
        interval: of the difference, 95 %; None with one prompt.
        spread: standard deviation (n - 1) of the difference from training to training; None for one.
        trainings: number of them.
        below: in how many the mean lies below the base's; None for one training.
        shown: the difference is told from 0 by an interval corrected for the rows of the table.
    """

    mean: float
    difference: float
    interval: Interval | None
    percent: float | None
    spread: float | None = None
    trainings: int = 1
    below: int | None = None
    shown: bool = False

    @property
    def rises(self) -> bool:
        """It is shown to be above the base's."""
        return self.shown and self.difference > 0

    @property
    def falls(self) -> bool:
        """It is shown to be below the base's."""
        return self.shown and self.difference < 0


@dataclass(frozen=True)
class SideEffects:
    """One method or segment beside the base, in every metric that both have."""

    row: str
    label: str
    changes: dict[str, Change]

    @property
    def risen(self) -> list[str]:
        """The scorers that rise."""
        return [name for name in self.scorers if self.changes[name].rises]

    @property
    def scorers(self) -> list[str]:
        """What stands for human judgement."""
        return [name for name in self.changes if is_judgement(name)]

    @property
    def fooled(self) -> Literal["", "not shown to rise", "falls"]:
        """What the truth does where a scorer rises and the truth does not; empty if it does or is not measured."""
        truth = self.changes.get(TRUTH)
        if not self.risen or truth is None or truth.rises:
            return ""
        return "falls" if truth.falls else "not shown to rise"

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self) | {"risen": self.risen, "fooled": self.fooled}


def side_effects(model: ModelEvidence) -> list[SideEffects]:
    """Every method, then every segment, beside the base."""
    return [
        SideEffects(row, model.label(row), {name: _change(model, row, name) for name in _shared(model, row)})
        for row in [*model.methods, *model.segments]
    ]


def _shared(model: ModelEvidence, row: str) -> list[str]:
    order = [*NAMES, *model.base.metrics]
    return sorted((name for name in model.base.metrics if row in model.rows(name)), key=order.index)


def _change(model: ModelEvidence, row: str, metric: str) -> Change:
    rows = model.rows(metric)
    ours, base = rows[row], rows[BASE]
    found = difference(ours, base)
    corrected = found.interval(corrected_level(model.rows_beside(row)))
    return Change(
        ours.mean,
        found.value,
        found.interval(),
        100 * found.value / base.mean if base.mean > 0 else None,
        found.spread,
        ours.values.shape[1],
        found.below,
        corrected is not None and corrected.excludes(0),
    )
