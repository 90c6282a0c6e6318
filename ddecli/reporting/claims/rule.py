"""What every rule that decides a claim offers."""

from __future__ import annotations

from abc import ABC, abstractmethod

from ddecli.reporting.claims.verdicts import Outcome
from ddecli.reporting.evidence import Evidence


class Rule(ABC):
    """A rule by which evidence decides a claim; stated in words by `text`, computed by `judge`."""

    @property
    @abstractmethod
    def text(self) -> str:
        """What must hold, in one sentence."""

    @abstractmethod
    def judge(self, evidence: Evidence) -> Outcome:
        """The comparisons, or what is missing for them."""
