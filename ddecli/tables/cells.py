"""What a table holds, before anything is rendered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from ddecli.stats.intervals import Interval


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
        below: number of trainings whose own mean lies below the base's; None for one training.
        shown: the difference is told from 0 by an interval corrected for the number of rows with this base.
        interval: of the mean, of 95 %, over prompts and training seeds; None where it is not known.
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
    below: int | None = None
    shown: bool = False
    interval: Interval | None = None


@dataclass(frozen=True)
class TableRow:
    """One method: its label, its base's label (None: it is a base), its training seeds, a cell a metric."""

    label: str
    base: str | None
    seeds: int
    cells: dict[str, Cell]


@dataclass(frozen=True)
class KindRows:
    """The rows of a table over the prompts of one kind: see `ddecli.stats.groups.Kind`. `prompts` counts them."""

    division: str
    name: str
    prompts: int
    rows: list[TableRow]


@dataclass(frozen=True)
class Contrast:
    """One row minus another in a metric.

    Attributes:
        value: over prompts and trainings; where trainings are paired by seed, over those that both have.
        interval: of 95 %; None with one prompt.
        spread: standard deviation (n - 1) of the difference from training to training; None for one training.
        pairs: number of trainings that it was formed of one by one: pairs, or those of one row beside a row without
            several; None where trainings make no pairs.
        below: in how many of them it lies below 0.
        shown: told from 0 by an interval corrected for the number of differences in the column.
    """

    value: float
    interval: Interval | None
    spread: float | None = None
    pairs: int | None = None
    below: int | None = None
    shown: bool = False


@dataclass(frozen=True)
class Difference:
    """One row minus another: their labels, whether their trainings are paired by seed, a contrast a metric."""

    first: str
    second: str
    same_seeds: bool
    estimates: dict[str, Contrast]


@dataclass(frozen=True)
class Table:
    """A table with everything a renderer shows.

    Attributes:
        number: of the paper's table that it rebuilds; None of a table of one's own.
        differences: of every two rows; only in a table of one's own.
        kinds: the same rows over the prompts of each kind, where their list tells kinds apart; likewise.
        read: SHA-256 of every file that it was made from.
    """

    number: int | None
    metrics: list[str]
    rows: list[TableRow]
    notes: list[str]
    differences: list[Difference] = field(default_factory=list)
    kinds: list[KindRows] = field(default_factory=list)
    read: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def spread(means: Sequence[float] | np.ndarray) -> float | None:
    """Standard deviation (n - 1) over training seeds; None for one."""
    return float(np.std(means, ddof=1)) if len(means) > 1 else None
