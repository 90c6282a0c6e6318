"""What figures of scored folders share: which metrics, and where the numbers come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from ddecli.core.errors import UserError
from ddecli.core.scores import ScoreSet
from ddecli.stats.intervals import CONFIDENCE
from ddecli.stats.metrics import DIVERSITY
from ddecli.stats.rows import Folders, shared_metrics


def chosen_metrics(sets: Mapping[str, Sequence[ScoreSet]], wanted: Sequence[str]) -> list[str]:
    """The metrics to plot: those asked for, else all that every folder has, but for diversity: it is no score.

    Raises:
        UserError: a folder lacks a metric.
    """
    every = [scores for given in sets.values() for scores in given]
    if not wanted:
        shared = shared_metrics(every)
        return [name for name in shared if name != DIVERSITY] or shared
    for name in wanted:
        for scores in every:
            if name not in scores.metrics:
                raise UserError(
                    f"{scores.name} has no {name} scores (it has {', '.join(scores.metrics)}): "
                    f"score it with --metric {name}."
                )
    return list(dict.fromkeys(wanted))


def origin(folders: Folders, sets: Mapping[str, Sequence[ScoreSet]]) -> dict[str, Any]:
    """The folders, how their images were sampled, and the level of intervals."""
    first = next(iter(sets.values()))[0]
    return {
        "rows": dict(folders),
        "protocol": {key: value for key, value in first.protocol.items() if key != "model"},
        "confidence": CONFIDENCE,
    }


def trainings(axis: Axes, place: float, means: np.ndarray, colour: str) -> None:
    """The mean of each training as a small dot behind the marker of their mean; nothing of one training."""
    if len(means) > 1:
        dots = np.full(len(means), place)
        axis.plot(
            dots, means, color=colour, marker="o", markersize=2.0, alpha=0.45, linestyle="none", zorder=1
        )
