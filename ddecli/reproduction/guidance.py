"""Base and methods at another guidance scale: whether gains over the base, and the order of methods, stay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

from ddecli.core.protocol import sampled_model
from ddecli.core.scores import ScoreSet
from ddecli.reproduction.evidence import ModelEvidence
from ddecli.reproduction.experiment import BASE
from ddecli.stats.intervals import Interval, corrected_level
from ddecli.stats.metrics import DIVERSITY
from ddecli.stats.rows import ScoredRow, difference, prompt_means, scored_rows, shared_metrics
from ddecli.stats.trainings import training_seeds


@dataclass(frozen=True)
class Found:
    """A difference of two rows at one guidance scale; `shown`: its corrected interval leaves 0 out."""

    value: float
    interval: Interval | None
    shown: bool


@dataclass(frozen=True)
class AtBoth:
    """The difference of two rows in one metric, at the guidance scale of the tables and at the second one."""

    metric: str
    first_row: str
    second_row: str
    first: Found
    second: Found

    @property
    def same_side(self) -> bool:
        """Whether both lie on one side of 0."""
        return (self.first.value > 0) == (self.second.value > 0)


@dataclass(frozen=True)
class SecondGuidance:
    """What a second guidance scale tells of a model.

    Attributes:
        first, second: guidance scale of the tables, and the other; None where a protocol does not say it.
        prompts, images, trainings: at the second; trainings of each method, the fewest.
        gains: of every method over the base.
        pairs: differences of every two methods.
    """

    first: float | None
    second: float | None
    prompts: int
    images: float
    trainings: int
    gains: tuple[AtBoth, ...]
    pairs: tuple[AtBoth, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def second_guidance(model: ModelEvidence) -> SecondGuidance | None:
    """Compare the two guidance scales, by the trainings that were sampled at both; None where there is one scale."""
    second = model.second_guidance
    if not second:
        return None
    first = {row: _same_trainings(model.scores[row], given) for row, given in second.items()}
    both = [each for sets in (first, second) for given in sets.values() for each in given]
    methods = [row for row in second if row != BASE]
    couples = list(combinations(methods, 2))
    gains: list[AtBoth] = []
    pairs: list[AtBoth] = []
    for metric in shared_metrics(both):
        if metric == DIVERSITY:
            continue
        rows = [_rows(sets, metric) for sets in (first, second)]
        gains += [_at_both(model, metric, (row, BASE), rows, len(methods)) for row in methods]
        pairs += [_at_both(model, metric, couple, rows, len(couples)) for couple in couples]
    base = second[BASE][0]
    scores = next(iter(base.metrics.values()))
    prompts = len(set(scores.prompt_id.tolist()))
    return SecondGuidance(
        _guidance(model.base),
        _guidance(base),
        prompts,
        len(scores.score) / prompts,
        min((len(second[row]) for row in methods), default=0),
        tuple(gains),
        tuple(pairs),
    )


def _same_trainings(given: Sequence[ScoreSet], others: Sequence[ScoreSet]) -> list[ScoreSet]:
    """Those of the trainings that the others are of; all where that is not known."""
    names = [sampled_model(each.protocol) for each in others]
    return [each for each in given if sampled_model(each.protocol) in names] or list(given)


def _rows(sets: Mapping[str, Sequence[ScoreSet]], metric: str) -> dict[str, ScoredRow]:
    seeds = {row: None if row == BASE else training_seeds(given) for row, given in sets.items()}
    return scored_rows(prompt_means(sets, metric), seeds)


def _at_both(
    model: ModelEvidence,
    metric: str,
    names: tuple[str, str],
    rows: Sequence[Mapping[str, ScoredRow]],
    number: int,
) -> AtBoth:
    a, b = names
    first, second = (_found(each[a], each[b], number) for each in rows)
    return AtBoth(metric, model.label(a), model.label(b), first, second)


def _found(a: ScoredRow, b: ScoredRow, number: int) -> Found:
    """The difference, corrected for a number of them."""
    estimate = difference(a, b)
    interval = estimate.interval(corrected_level(number))
    return Found(estimate.value, interval, interval is not None and interval.excludes(0))


def _guidance(scores: ScoreSet) -> float | None:
    value = scores.protocol.get("guidance_scale")
    return float(value) if isinstance(value, int | float) else None
