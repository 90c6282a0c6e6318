"""The rule on Inception Scores."""

from __future__ import annotations

from dataclasses import dataclass

from ddecli.reproduction.claims.rule import Rule, no_model
from ddecli.reproduction.claims.verdicts import Outcome, compared
from ddecli.reproduction.evidence import Evidence
from ddecli.reproduction.experiment import BASE
from ddecli.stats.intervals import corrected_level
from ddecli.tables import paper
from ddecli.tables.inception_table import METRIC, inception_difference


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
        found = inception_difference([before], after)
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
