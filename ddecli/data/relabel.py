"""AI feedback: a scorer decides which picture of a pair was preferred, not people."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from ddecli.core.errors import BadRow
from ddecli.core.scores import score_signs
from ddecli.data.pairs import TIE, Pair
from ddecli.data.pictures import Picture

Score = Callable[[Sequence[Any], Sequence[str]], Any]
"""Prepared pictures and a prompt for each -> (N,) float32, larger is better."""


@dataclass(frozen=True)
class Relabel:
    """A scorer to decide by.

    card: what the scorer is, for the manifest.
    preprocess: makes of an RGB picture, as it is read, what `score` takes: whole pictures would fill the memory.
    """

    card: dict[str, Any]
    preprocess: Callable[[Image.Image], Any]
    score: Score

    def score_gaps(self, pairs: Sequence[tuple[Pair, tuple[Picture, Picture]]]) -> list[float]:
        """Score of each pair's first picture minus that of its second, 0 for a tie; one call scores them all."""
        if not pairs:
            return []
        pictures = [picture for _, both in pairs for picture in both]
        images = [picture.for_scorer for picture in pictures]
        scores = self.score(images, [pair.prompt for pair, _ in pairs for _ in range(2)])
        values = np.asarray(scores, dtype=np.float32).reshape(len(pairs), 2)
        first, second = values.T
        return np.where(score_signs(first, second) == 0, 0, first - second).tolist()


def first_won(score_gap: float) -> bool:
    """Whether the first picture of a pair is the better one.

    Args:
        score_gap: its score minus that of the second.

    Raises:
        BadRow: equal scores (a tie), or a score that is no number.
    """
    if not math.isfinite(score_gap):
        raise BadRow("score not finite")
    if score_gap == 0:
        raise BadRow(TIE)
    return score_gap > 0
