"""Rows of scored folders: a label, its training seeds, its means by prompt and training, and differences of two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ddecli.core.errors import UserError
from ddecli.core.scores import ScoreSet, check_same_protocol, load_scores
from ddecli.stats.compare import check_same_images
from ddecli.stats.intervals import Estimate, estimate
from ddecli.stats.metrics import NAMES, is_part

Folders = Mapping[str, Sequence[str | Path]]
"""A label's folders, one for each training seed."""


def check_distinct(folders: Folders) -> None:
    """Refuse to count one folder as two training seeds.

    Raises:
        UserError: the label that names a folder twice.
    """
    for label, given in folders.items():
        if len({Path(folder).resolve() for folder in given}) < len(given):
            raise UserError(f"{label} names one folder twice: give one folder for each training seed.")


def load_rows(folders: Folders) -> dict[str, list[ScoreSet]]:
    """Read the scores of every label's folders.

    Raises:
        UserError: missing scores, a folder given twice for a label, or mixed protocols.
    """
    check_distinct(folders)
    sets = {label: [load_scores(folder) for folder in given] for label, given in folders.items()}
    check_same_protocol([scores for given in sets.values() for scores in given])
    return sets


def shared_metrics(sets: Sequence[ScoreSet]) -> list[str]:
    """The metrics that all sets have, without parts, in the order of `NAMES`; others follow in alphabetical order.

    Raises:
        UserError: there is none.
    """
    shared = set.intersection(*(set(scores.metrics) for scores in sets))
    shared = {metric for metric in shared if not is_part(metric)}
    if not shared:
        raise UserError("The folders have no metric in common: score them all with the same --metric.")
    order = [*NAMES, *sorted(shared - set(NAMES))]
    return sorted(shared, key=order.index)


def prompt_means(sets: Mapping[str, Sequence[ScoreSet]], metric: str) -> dict[str, np.ndarray]:
    """Mean score of each prompt's images, `(prompts, seeds)` by label.

    Raises:
        UserError: a set does not hold the same images as the first.
    """
    first = next(iter(sets.values()))[0]
    for scores in (scores for given in sets.values() for scores in given):
        check_same_images(first, scores, metric)
    return {
        label: np.stack([scores.metric(metric).prompt_means() for scores in given], axis=1)
        for label, given in sets.items()
    }


@dataclass(frozen=True)
class ScoredRow:
    """One row in one metric.

    Attributes:
        values: `(prompts, trainings)` means by prompt and training.
        seeds: of the trainings; None where they are not known, one is there twice, or it is no trained row.
    """

    values: np.ndarray
    seeds: tuple[int, ...] | None = None

    @property
    def mean(self) -> float:
        """Over prompts and trainings."""
        return float(self.values.mean())


def scored_rows(
    values: Mapping[str, np.ndarray], seeds: Mapping[str, tuple[int, ...] | None] | None = None
) -> dict[str, ScoredRow]:
    """Rows from means `(prompts, trainings)` by label, and the seeds of their trainings as far as they are known."""
    return {label: ScoredRow(row, (seeds or {}).get(label)) for label, row in values.items()}


def shared_seeds(a: tuple[int, ...] | None, b: tuple[int, ...] | None) -> tuple[list[int], list[int]] | None:
    """The places of the trainings that make pairs, in each of two rows; None where they make none.

    Trainings of one seed saw the same draws. They make pairs where every seed of one row is among those of the other,
    and there are two or more: with one, how the difference changes from training to training would be left out.
    """
    if a is None or b is None:
        return None
    both = sorted(set(a) & set(b))
    if len(both) < max(2, min(len(a), len(b))):
        return None
    return [a.index(seed) for seed in both], [b.index(seed) for seed in both]


def difference(a: ScoredRow, b: ScoredRow) -> Estimate:
    """The mean of `a` minus that of `b`: the same prompts in both, trainings of the same seeds paired.

    Where one row has more seeds than the other, the difference is over those that both have.
    """
    pairs = shared_seeds(a.seeds, b.seeds)
    if pairs is None:
        return estimate(a.values, -b.values)
    return estimate(a.values[:, pairs[0]] - b.values[:, pairs[1]])
