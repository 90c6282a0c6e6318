"""The world's voters: Bradley-Terry choosers with ties, on a hidden utility of what is drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ddecli.tinyworld.scenes import Flaws


@dataclass(frozen=True)
class Annotators:
    """A group of voters: how much each scale of flaw costs them, how noisy they are, when they call a tie.

    Two pictures differ by `u_a - u_b` plus logistic noise of scale `temperature`, which is the Bradley-Terry rule;
    within `tie_margin` of zero they see no difference (Rao and Kupper's extension for ties).
    """

    name: str
    coarse: float
    middle: float
    fine: float
    temperature: float = 0.15
    tie_margin: float = 0.05

    def utility(self, flaws: Flaws) -> float:
        """Hidden utility of a scene, 0 for a flawless one and less for every flaw."""
        weights = (self.coarse, self.middle, self.fine)
        return -sum(weight * severity for weight, severity in zip(weights, flaws.severities, strict=True))

    def vote_chances(self, better: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Chances of a vote for the first and for the second of two pictures whose utilities differ by `better`."""
        first = 1 / (1 + np.exp((self.tie_margin - better) / self.temperature))
        second = 1 / (1 + np.exp((self.tie_margin + better) / self.temperature))
        return first, second

    def prefer_first(self, first: Flaws, second: Flaws, rng: np.random.Generator) -> float:
        """One vote: 1.0 for the first picture, 0.0 for the second, 0.5 for a tie."""
        difference = self.utility(first) - self.utility(second) + rng.logistic(0, self.temperature)
        return 0.5 if abs(difference) < self.tie_margin else float(difference > 0)


VOTERS = Annotators("voters", coarse=1.0, middle=1.0, fine=1.0)
"""Whose choices the pairs record; their utility is the world's truth."""
BEAUTY = Annotators("beauty", coarse=0.5, middle=1.25, fine=1.25)
"""Care more for looks; the tiny HPS learned from them."""
FAITH = Annotators("faith", coarse=1.8, middle=0.6, fine=0.6)
"""Care more for the caption; the tiny PickScore learned from them."""
GROUPS = (VOTERS, BEAUTY, FAITH)
