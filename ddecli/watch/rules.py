"""What on a sheet is a reason for alarm: images of a prompt become alike, a scorer is fooled, all scores fall.

Every rule asks for intervals over prompts, at a level at which of twenty runs in which nothing happens one at most
would ring, however many sheets and metrics it has (Bonferroni).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from ddecli.stats.compare import MetricComparison
from ddecli.stats.intervals import corrected_level, estimate, ratio_values
from ddecli.stats.metrics import DIVERSITY, is_part
from ddecli.training.holdout import better_than_base

ALIKE = 0.5
"""Of the base's distance between the images of a prompt: below it a run is said to lose its diversity."""


def level_of(steps: int, every: int, metrics: int) -> float:
    """The level of each interval of a run with a sheet every so many steps, and one at the end."""
    return corrected_level(-(-steps // every) * max(1, metrics))


def alike(own: np.ndarray, base: np.ndarray, level: float) -> float | None:
    """How far the images of a prompt lie from each other, where 1 is as far as the base's, if they are too alike.

    That is: less than half as far on average, and told from no change by their interval.

    Args:
        own, base: distances of each prompt's images, `(prompts,)`.
    """
    if base.mean() <= 0:
        return None
    found = estimate(ratio_values(own[:, None], base[:, None]))
    interval = found.interval(level)
    return found.value if interval and interval.high < 1 and found.value < ALIKE else None


def fooled(
    compared: Sequence[MetricComparison], labelled_by: Collection[str], held_out: Mapping[str, float]
) -> str | None:
    """A sentence, without a full stop, where what is trained for is reached and the pictures become worse; else None.

    What is trained for: the scores of those who labelled the pairs (`prepare --relabel`), if they are among the
    metrics, else any score; or, of held-out pairs, margin and accuracy. It must rise, or be learned, clearly, and
    another score must clearly fall.

    Args:
        compared: with the base, with intervals of a level that allows for all looks.
        labelled_by: names of the scorers that decided about the pairs; none if people did.
        held_out: of `HeldOut.evaluate`, the last one before; empty without held-out pairs.
    """
    changes = _changes(compared)
    labelling = [name for name in changes if name in labelled_by]
    rises = [name for name in labelling or changes if changes[name][0] > 0]
    falls = [name for name in changes if changes[name][1] < 0]
    others = [name for name in falls if name not in labelling]
    if rises and others:
        what = "what labelled the pairs" if labelling else "a score"
        return (
            f"{what} rises ({_list(rises)}) while another falls ({_list(others)}): the scorer may be fooled"
        )
    if falls and better_than_base(held_out):
        return (
            f"held-out pairs are told apart better than by the base (accuracy {held_out['holdout_accuracy']:.2f}), but "
            f"the pictures score lower ({_list(falls)}): what is learned does not show in them"
        )
    return None


def worse(compared: Sequence[MetricComparison]) -> str | None:
    """A sentence, without a full stop, where every score clearly lies below the base's; else None."""
    changes = _changes(compared)
    if not changes or not all(high < 0 for _, high in changes.values()):
        return None
    return f"the pictures score lower than the base's ({_list(changes)})"


def _changes(compared: Sequence[MetricComparison]) -> dict[str, tuple[float, float]]:
    """The interval of the difference of every score, by its metric."""
    return {
        each.metric: each.difference_interval
        for each in compared
        if each.difference_interval and each.metric != DIVERSITY and not is_part(each.metric)
    }


def _list(metrics: Collection[str]) -> str:
    return ", ".join(metrics)


def labellers(manifest: Mapping[str, Any]) -> list[str]:
    """The scorers that decided which picture of a pair was preferred, from the manifest of a pair store."""
    card = manifest.get("relabel") or {}
    return [str(each.get("name")) for each in card.get("scorers", [card]) if each]
