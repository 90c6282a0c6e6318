"""What every rule that decides a claim offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from ddecli.reproduction.claims.verdicts import Outcome
from ddecli.reproduction.evidence import Evidence, ModelEvidence
from ddecli.tables.notes import and_list


class Rule(ABC):
    """A rule by which evidence decides a claim; stated in words by `text`, computed by `judge`."""

    @property
    @abstractmethod
    def text(self) -> str:
        """What must hold, in one sentence."""

    @abstractmethod
    def judge(self, evidence: Evidence) -> Outcome:
        """The comparisons, or what is missing for them."""


def no_model(paper: str) -> str:
    """What is missing where nothing stands for a model of the paper."""
    return f"no model stands for {paper}"


def single_trainings(
    model: ModelEvidence, trainings: Mapping[str, Sequence[object]], consequence: str
) -> tuple[str, ...]:
    """Names the rows with one training, and what follows from it; empty if there is none.

    Args:
        trainings: what there is of each training, by row.
        consequence: end of the sentence, with its punctuation mark before it.
    """
    lone = [model.label(row) for row, given in trainings.items() if len(given) == 1]
    return (f"There is one training only of {and_list(lone)}{consequence}.",) if lone else ()
