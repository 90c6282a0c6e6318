"""Rows of scored folders: a label, its training seeds, and means drawn again over prompts and seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


def resampled_rows(values: Mapping[str, np.ndarray], draws: int, seed: int) -> dict[str, np.ndarray]:
    """Bootstrap means `(draws,)` of every label over prompts, the same in all rows, and over its seeds.

    Args:
        values: `(prompts, seeds)` by label.
    """
    # All rows in one call, so that a draw takes the same prompts in every row.
    drawn = resampled_means(np.concatenate(list(values.values()), axis=1), draws, seed)
    first_seed = np.cumsum([0, *(row.shape[1] for row in values.values())])
    return {
        label: means_over_seeds(drawn[:, first : first + row.shape[1]], seed, label)
        for first, (label, row) in zip(first_seed[:-1], values.items(), strict=True)
    }


def means_over_seeds(drawn: np.ndarray, seed: int, label: str) -> np.ndarray:
    """Means `(draws,)` of `(draws, seeds)` over training seeds that are themselves drawn with replacement."""
    draws, seeds = drawn.shape
    return (drawn * resampled_weights(seeds, draws, seed, label)).sum(axis=1)
