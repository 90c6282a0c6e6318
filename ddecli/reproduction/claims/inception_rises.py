"""The rule on Inception Scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ddecli.reproduction.claims.rule import Rule, no_model
from ddecli.reproduction.claims.verdicts import Outcome, compared
from ddecli.reproduction.evidence import Evidence
from ddecli.reproduction.experiment import BASE
from ddecli.stats.intervals import Estimate, VariancePart, corrected_level, estimate_over_trainings, joined
from ddecli.tables import paper
from ddecli.tables.inception_table import METRIC, InceptionResult


@dataclass(frozen=True)
class InceptionRises(Rule):
    """The Inception Score after training is above the base model's."""

    paper: str
    method: str

    @property
    def text(self) -> str:
        return "The Inception Score after training with DDE lies above that of the base model."

    def judge(self, evidence: Evidence) -> Outcome:
        model = evidence.of(self.paper)
        if model is None:
            return Outcome(missing=no_model(self.paper))
        trained = model.row_of(self.method)
        for row in (BASE, trained):
            if row not in model.inception:
                return Outcome(missing=f"no Inception Score of {model.absent(row)}")
        before, after = model.inception[BASE][0], model.inception[trained]
        found = inception_difference(before, after)
        level = corrected_level(1)
        comparison = compared(
            f"{model.label(trained)} − {model.name}",
            "Inception Score",
            found,
            level,
            base=before.mean,
            gain_percent=100 * found.value / before.mean if before.mean > 0 else None,
            paper=paper.figure(4, self.method, METRIC),
        )
        images = before.scorers[METRIC]["images"]
        return Outcome((comparison,), remarks=(f"Each score is of {images} images of one folder.",))


def inception_difference(before: InceptionResult, after: Sequence[InceptionResult]) -> Estimate:
    """The mean score after training minus that before.

    The scores of parts of the images tell how it changes with the images, those of several trainings how it changes
    from training to training.
    """
    images = joined([_part(before), *(_part(result, len(after)) for result in after)])
    found = estimate_over_trainings(np.array([result.mean - before.mean for result in after]))
    return replace(found, parts=(images, *found.parts) if len(after) > 1 else (images,))


def _part(result: InceptionResult, share: int = 1) -> VariancePart:
    """Variance of a score (of its `1 / share` in a mean) from the scores of parts of the images, and its freedom."""
    count = int(result.scorers[METRIC]["splits"])
    if result.std is None or count < 2:
        return VariancePart(0.0, 0)
    return VariancePart(result.std**2 / count / share**2, count - 1)
