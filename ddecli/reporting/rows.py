"""Rows of scored folders: a label, its training seeds, and means drawn again over prompts and seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ddecli.core.errors import UserError
from ddecli.core.scores import ScoreSet, check_same_protocol, load_scores
from ddecli.reporting.bootstrap import resampled_means, resampled_weights
from ddecli.reporting.compare import check_same_images
from ddecli.reporting.metrics import NAMES

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
    """The metrics that all sets have, in the order of `NAMES`; others follow in alphabetical order.

    Raises:
        UserError: there is none.
    """
    shared = set.intersection(*(set(scores.metrics) for scores in sets))
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
class Resampled:
    """One row in one metric, drawn again over prompts and over its trainings.

    Attributes:
        values: `(prompts, trainings)` means by prompt and training.
        draws: `(draws,)` of their mean, the trainings drawn for this row alone.
        seeds: of the trainings; None where they are not known, or one is there twice.
        together: `(draws,)` as `draws`, the trainings drawn as in every other row with the same seeds; equal to
            `draws` where there is one training, or the seeds are not known.
        fixed: no training is part of it (the base model), so it has no spread between trainings.
    """

    values: np.ndarray
    draws: np.ndarray
    seeds: tuple[int, ...] | None
    together: np.ndarray
    fixed: bool = False

    @property
    def mean(self) -> float:
        """Over prompts and trainings."""
        return float(self.values.mean())


def share_trainings(a: Resampled, b: Resampled) -> bool:
    """Whether two rows have several trainings of the same seeds, so on the same draws: they make pairs."""
    if a.seeds is None or b.seeds is None:
        return False
    return len(a.seeds) > 1 and sorted(a.seeds) == sorted(b.seeds)


def drawn_differences(a: Resampled, b: Resampled) -> np.ndarray:
    """Draws `(draws,)` of the mean of `a` minus that of `b`: the same prompts in both, and the same training seeds."""
    return a.together - b.together if share_trainings(a, b) else a.draws - b.draws


def resampled_rows(
    values: Mapping[str, np.ndarray],
    draws: int,
    seed: int,
    seeds: Mapping[str, tuple[int, ...] | None] | None = None,
) -> dict[str, Resampled]:
    """Bootstrap means of every label over prompts, the same in all rows, and over its trainings.

    Args:
        values: `(prompts, trainings)` by label.
        seeds: of the trainings of each label, as far as they are known.
    """
    # All rows in one call, so that a draw takes the same prompts in every row.
    drawn = resampled_means(np.concatenate(list(values.values()), axis=1), draws, seed)
    first_column = np.cumsum([0, *(row.shape[1] for row in values.values())])
    return {
        label: resampled(row, drawn[:, first : first + row.shape[1]], seed, label, (seeds or {}).get(label))
        for first, (label, row) in zip(first_column[:-1], values.items(), strict=True)
    }


def resampled(
    values: np.ndarray, drawn: np.ndarray, seed: int, label: str, seeds: tuple[int, ...] | None
) -> Resampled:
    """One row, from draws `(draws, trainings)` over prompts."""
    alone = means_over_seeds(drawn, seed, label)
    if seeds is None or len(seeds) == 1:
        return Resampled(values, alone, seeds, alone)
    order = np.argsort(seeds)
    together = means_over_seeds(drawn[:, order], seed, "trainings", *(str(seeds[each]) for each in order))
    return Resampled(values, alone, seeds, together)


def means_over_seeds(drawn: np.ndarray, seed: int, *name: str) -> np.ndarray:
    """Means `(draws,)` of `(draws, seeds)` over training seeds that are themselves drawn with replacement.

    Args:
        name: of the draw: equal names draw the same places.
    """
    draws, seeds = drawn.shape
    return (drawn * resampled_weights(seeds, draws, seed, *name)).sum(axis=1)
