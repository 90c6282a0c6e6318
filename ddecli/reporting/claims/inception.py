"""The rule on Inception Scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ddecli.reporting import paper
from ddecli.reporting.claims.rule import Rule, no_model
from ddecli.reporting.claims.verdicts import Comparison, Outcome, corrected_level, student_interval
from ddecli.reporting.evidence import Evidence
from ddecli.reporting.experiment import BASE
from ddecli.reporting.inception import METRIC, InceptionResult


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
        means = np.array([result.mean for result in after])
        difference = float(means.mean() - before.mean)
        spread = float(means.var(ddof=1) / len(means)) if len(means) > 1 else 0.0
        parts = [_parts(before), *(_parts(result, len(after)) for result in after)]
        level = corrected_level(1)
        interval = student_interval(difference, parts, level)
        strict = student_interval(difference, [*parts, (spread, len(means) - 1)], level)
        comparison = Comparison(
            f"{model.label(trained)} − {model.name}",
            "Inception Score",
            difference,
            interval,
            strict,
            base=before.mean,
            gain_percent=100 * difference / before.mean if before.mean > 0 else None,
            paper=paper.figure(4, self.method, METRIC),
        )
        images = before.scorers[METRIC]["images"]
        return Outcome((comparison,), remarks=(f"Each score is of {images} images of one folder.",))


def _parts(result: InceptionResult, share: int = 1) -> tuple[float, int]:
    """Variance of a score (of its `1 / share` in a mean) from the scores of parts of the images, and its freedom."""
    count = int(result.scorers[METRIC]["splits"])
    if result.std is None or count < 2:
        return 0.0, 0
    return result.std**2 / count / share**2, count - 1
