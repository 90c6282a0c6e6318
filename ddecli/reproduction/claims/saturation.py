"""Whether logits saturate: the factor of the gradient weight that says how far pairs are learned already."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ddecli.core.segments import Segment
from ddecli.reproduction.claims.regime import BY_REGIME, IN_SATURATION, credit_runs, saturation, steps_of
from ddecli.reproduction.claims.rule import Rule, no_model
from ddecli.reproduction.claims.timesteps import bins_within, lone_runs, no_runs, span
from ddecli.reproduction.claims.verdicts import Outcome, compared
from ddecli.reproduction.evidence import Evidence, TrainedRun
from ddecli.stats.intervals import corrected_level, estimate_over_trainings

NO_SCHEDULE = "the noise schedule of the model is not at hand"


@dataclass(frozen=True)
class Saturation(Rule):
    """The sigmoid of single-shot training is more saturated in one segment of the trajectory than in another.

    The gradient weight is `sigmoid(-z) beta c_t / 2`; divided by `beta c_t / 2` it leaves the mean of the sigmoid,
    one half at the start.
    """

    paper: str
    method: str
    segment: Segment
    than: Segment

    @property
    def text(self) -> str:
        return (
            f"The sigmoid factor of the gradient weight (the weight without its coefficient β c_t / 2; one half when "
            f"training begins) is smaller at t/T in {span(self.segment)} than in {span(self.than)}. {IN_SATURATION} "
            f"{BY_REGIME}"
        )

    def judge(self, evidence: Evidence) -> Outcome:
        model = evidence.of(self.paper)
        if model is None:
            return Outcome(missing=no_model(self.paper))
        judging = credit_runs(model, [self.method])
        missing = "" if judging.late else no_runs(model, self.paper, [self.method])
        if missing:
            return Outcome(missing=missing)
        runs, c_t = judging.runs[self.method], model.coefficients
        if c_t is None and any(run.credit.sigmoid_sum is None for run in runs):
            return Outcome(missing=NO_SCHEDULE)
        pairs = np.array(
            [
                [sigmoid_factor(run, c_t, segment, judging.late) for segment in (self.segment, self.than)]
                for run in runs
            ]
        )
        label = model.label(model.row_of(self.method))
        saturated, said = saturation(label, runs)
        differences = pairs[:, 0] - pairs[:, 1]
        comparison = compared(
            f"{label}: {span(self.segment)} − {span(self.than)}",
            "sigmoid factor",
            estimate_over_trainings(differences),
            corrected_level(1),
            above=False,
            refutable=saturated,
            base=float(pairs[:, 1].mean()),
        )
        here, there = pairs.mean(axis=0)
        means = f"The factor is {here:.3f} at {span(self.segment)} and {there:.3f} at {span(self.than)}."
        remarks = [each for each in (judging.said, means, said) if each]
        return Outcome((comparison,), remarks=(*remarks, *lone_runs(model, judging.runs)))


def sigmoid_factor(
    run: TrainedRun, coefficients: np.ndarray | None, segment: Segment, late: bool = False
) -> float:
    """Mean of `sigmoid(-z)` over the visits to a segment; NaN where there were none.

    Args:
        coefficients: `(T,)`, for runs that did not record the factor: there it is the gradient weight over what it
            would be if the sigmoid were one, `beta c_t / 2` at every visit, and of a bin the mean of `c_t` is taken.
        late: in the last steps alone.
    """
    inside, steps = bins_within(run, segment), steps_of(run, late)
    count = run.credit.count[steps]
    if run.credit.sigmoid_sum is not None:
        visits = count[:, inside].sum()
        return float(run.credit.sigmoid_sum[steps, inside].sum() / visits) if visits else np.nan
    assert coefficients is not None
    edges = np.round(run.credit.edges * len(coefficients)).astype(int)
    means = np.array([coefficients[low:high].mean() for low, high in pairwise(edges)])
    full = float(run.settings["beta"]) * means / 2 * count.sum(axis=0)
    return float(run.credit.weight_sum[steps, inside].sum() / full[inside].sum())
