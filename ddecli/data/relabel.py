"""AI feedback: scorers decide which picture of a pair was preferred, not people.

One scorer decides alone. Of several each has a vote, and the majority decides: scores of different scorers have scales
of their own, and are never added up. A scorer that finds two pictures equal has no vote; a draw is a tie.
"""

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

MAJORITY = "majority"
"""What several scorers that decide are called."""
Score = Callable[[Sequence[Any], Sequence[str]], Any]
"""Prepared pictures and a prompt for each -> (N,) float32, larger is better."""


@dataclass(frozen=True)
class PairScorer:
    """A scorer that decides, or has a vote.

    card: what the scorer is.
    preprocess: makes of an RGB picture, as it is read, what `score` takes: whole pictures would fill the memory.
    threshold: two pictures whose scores differ by less are equal to it, in units of its scores.
    """

    card: dict[str, Any]
    preprocess: Callable[[Image.Image], Any]
    score: Score
    threshold: float = 0.0


@dataclass(frozen=True)
class Relabel:
    """The scorers that decide."""

    scorers: Sequence[PairScorer]

    @property
    def card(self) -> dict[str, Any]:
        """What decides, for the manifest."""
        return deciding_card([(scorer.card, scorer.threshold) for scorer in self.scorers])

    def preprocess(self, image: Image.Image) -> list[Any]:
        """What each scorer takes of an RGB picture."""
        return [scorer.preprocess(image) for scorer in self.scorers]

    def score_gaps(self, pairs: Sequence[tuple[Pair, tuple[Picture, ...]]]) -> list[float]:
        """See `gaps_of`, of each pair's first picture to its second; each scorer scores them all in one call."""
        if not pairs:
            return []
        pictures = [picture for _, both in pairs for picture in both]
        prompts = [pair.prompt for pair, _ in pairs for _ in range(2)]
        scores = [
            scorer.score([picture.for_scorer[number] for picture in pictures], prompts)
            for number, scorer in enumerate(self.scorers)
        ]
        values = np.stack([np.asarray(each, dtype=np.float32).reshape(len(pairs), 2) for each in scores])
        thresholds = [scorer.threshold for scorer in self.scorers]
        return gaps_of(values[..., 0], values[..., 1], thresholds).tolist()


@dataclass(frozen=True)
class Decided:
    """What decided pairs that come with the gap between their scores; their pictures need not be scored."""

    card: dict[str, Any]
    preprocess: None = None

    def score_gaps(self, pairs: Sequence[tuple[Pair, tuple[Picture, ...]]]) -> list[float | None]:
        """The gaps that the pairs came with."""
        return [pair.score_gap for pair, _ in pairs]


def deciding_card(scorers: Sequence[tuple[dict[str, Any], float]]) -> dict[str, Any]:
    """What decides: the card of the only scorer, or those of all; each with its threshold where that is not 0."""
    cards = [card | ({"threshold": threshold} if threshold else {}) for card, threshold in scorers]
    return cards[0] if len(cards) == 1 else {"name": MAJORITY, "scorers": cards}


def gaps_of(first: np.ndarray, second: np.ndarray, thresholds: Sequence[float]) -> np.ndarray:
    """By how much the first pictures of pairs are better than the second: their `margin` in a store.

    Of one scorer that is the difference of its scores; of several it is the share of the votes for the first picture
    minus the share of those for the second, which needs no common scale and no other pair to be known.

    Args:
        first, second: scores by S scorers, (S, ...) each; they are broadcast.
        thresholds: of the scorers, S of them.

    Returns:
        (...): above 0 the first is better, 0 is a tie, NaN where a score is no number.
    """
    first, second = np.broadcast_arrays(first, second)
    gaps = first - second
    known = np.isfinite(gaps)
    votes = np.zeros(gaps.shape, dtype=int)
    votes[known] = score_signs(first[known], second[known])
    least = np.asarray(thresholds, dtype=gaps.dtype).reshape(-1, *(1,) * (gaps.ndim - 1))
    votes[np.abs(gaps) < least] = 0
    decided = np.where(votes[0] == 0, 0, gaps[0]) if len(gaps) == 1 else votes.mean(axis=0)
    return np.where(known.all(axis=0), decided, np.nan)


def strength_of(card: dict[str, Any], score_gap: float) -> float | None:
    """The share of the votes for a pair's winner, of a scorer that has none half a vote; None where one decided.

    Args:
        card: of what decided.
        score_gap: see `gaps_of`, above 0.
    """
    return (1 + score_gap) / 2 if card["name"] == MAJORITY else None


def first_won(score_gap: float) -> bool:
    """Whether the first picture of a pair is the better one.

    Args:
        score_gap: see `gaps_of`.

    Raises:
        BadRow: equal scores or votes (a tie), or a score that is no number.
    """
    if not math.isfinite(score_gap):
        raise BadRow("score not finite")
    if score_gap == 0:
        raise BadRow(TIE)
    return score_gap > 0
