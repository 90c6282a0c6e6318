"""What a table holds, before anything is rendered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from ddecli.reporting.bootstrap import Interval


@dataclass(frozen=True)
class Cell:
    """One method in one metric.

    Attributes:
        mean: over prompts and training seeds.
        spread: standard deviation (n - 1) over training seeds, None for one seed; of an Inception Score
            with one seed that over the parts of the images.
        standard_error: of the mean, over prompts; None where it is not known.
        difference, gain_percent: to the base row, absolute and in percent; None in a base row. The gain is
            None too where the base is not clearly above zero.
        paper: the paper's figure, or "not available"; empty in a base row and for a metric it does not have.
        best: no row of the same base has a higher mean.
    """

    mean: float
    spread: float | None = None
    standard_error: float | None = None
    difference: float | None = None
    difference_interval: Interval | None = None
    gain_percent: float | None = None
    gain_interval: Interval | None = None
    paper: str = ""
    best: bool = False


@dataclass(frozen=True)
class Row:
    """One method: its label, its base's label (None: it is a base), its training seeds, a cell a metric."""

    label: str
    base: str | None
    seeds: int
    cells: dict[str, Cell]


@dataclass(frozen=True)
class Estimate:
    """A difference with its interval (None with one prompt)."""

    value: float
    interval: Interval | None

    @property
    def shown(self) -> bool:
        """The interval excludes zero."""
        return self.interval is not None and not self.interval.low <= 0 <= self.interval.high


@dataclass(frozen=True)
class Difference:
    """One row minus another: their labels, whether their trainings share seeds, an estimate a metric."""

    first: str
    second: str
    same_seeds: bool
    estimates: dict[str, Estimate]


@dataclass(frozen=True)
class Table:
    """A table with everything a renderer shows.

    Attributes:
        number: of the paper's table that it rebuilds; None of a table of one's own.
        differences: of every two rows; only in a table of one's own.
        read: SHA-256 of every file that it was made from.
    """

    number: int | None
    metrics: list[str]
    rows: list[Row]
    notes: list[str]
    differences: list[Difference] = field(default_factory=list)
    read: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def spread(means: Sequence[float] | np.ndarray) -> float | None:
    """Standard deviation (n - 1) over training seeds; None for one."""
    return float(np.std(means, ddof=1)) if len(means) > 1 else None
