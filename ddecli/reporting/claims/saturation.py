"""Whether logits saturate: the factor of the gradient weight that says how far pairs are learned already."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ddecli.core.segments import CLEAN, MIDDLE, NOISE, Segment
from ddecli.reporting.claims.rule import Rule
from ddecli.reporting.claims.timesteps import bins_within, lone_runs, no_runs, span
from ddecli.reporting.claims.verdicts import Outcome, compared
from ddecli.reporting.evidence import Evidence, ModelEvidence, TrainedRun
from ddecli.reporting.intervals import corrected_level, estimate_over_trainings
from ddecli.reporting.notes import and_list

PARTS = (CLEAN, MIDDLE, NOISE)
NO_SCHEDULE = "the noise schedule of the model is not at hand"
SATURATED, LAST = 0.5, 0.25
"""Logits saturate where the mean of `4 s (1 - s)`, the slope of the sigmoid over its steepest, has fallen below this in
this last part of the steps. The paper's claims about credit speak of that regime; before it, credit is that of the
coefficients alone."""
IN_SATURATION = (
    "It can be refuted only where logits saturate: where in some part of the trajectory (0-0.2, 0.2-0.7, 0.7-1) the "
    "mean of 4 s (1 − s), s the sigmoid factor of a pair, which is one when training begins, falls below "
    f"{SATURATED:g} in the last {LAST:.0%} of the steps."
)


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
            f"training begins) is smaller at t/T in {span(self.segment)} than in {span(self.than)}. {IN_SATURATION}"
        )

    def judge(self, evidence: Evidence) -> Outcome:
        model = evidence.of(self.paper)
        missing = no_runs(model, self.paper, [self.method])
        if model is None or missing:
            return Outcome(missing=missing)
        runs, c_t = model.runs_of(self.method), model.coefficients
        if c_t is None and any(run.credit.sigmoid_sum is None for run in runs):
            return Outcome(missing=NO_SCHEDULE)
        pairs = np.array(
            [[sigmoid_factor(run, c_t, segment) for segment in (self.segment, self.than)] for run in runs]
        )
        saturated, said = saturation(model, self.method)
        differences = pairs[:, 0] - pairs[:, 1]
        comparison = compared(
            f"{model.label(model.row_of(self.method))}: {span(self.segment)} − {span(self.than)}",
            "sigmoid factor",
            estimate_over_trainings(differences),
            corrected_level(1),
            above=False,
            refutable=saturated,
            base=float(pairs[:, 1].mean()),
        )
        here, there = pairs.mean(axis=0)
        means = f"The factor is {here:.3f} at {span(self.segment)} and {there:.3f} at {span(self.than)}."
        return Outcome((comparison,), remarks=(means, said, *lone_runs(model, [self.method])))


def sigmoid_factor(run: TrainedRun, coefficients: np.ndarray | None, segment: Segment) -> float:
    """Mean of `sigmoid(-z)` over the visits to a segment; NaN where there were none.

    Args:
        coefficients: `(T,)`, for runs that did not record the factor: there it is the gradient weight over what it
            would be if the sigmoid were one, `beta c_t / 2` at every visit, and of a bin the mean of `c_t` is taken.
    """
    inside, count = bins_within(run, segment), run.credit.count
    if run.credit.sigmoid_sum is not None:
        visits = count[:, inside].sum()
        return float(run.credit.sigmoid_sum[:, inside].sum() / visits) if visits else np.nan
    assert coefficients is not None
    edges = np.round(run.credit.edges * len(coefficients)).astype(int)
    means = np.array([coefficients[low:high].mean() for low, high in pairwise(edges)])
    full = float(run.settings["beta"]) * means / 2 * count.sum(axis=0)
    return float(run.credit.weight_sum[:, inside].sum() / full[inside].sum())


def saturation(model: ModelEvidence, method: str) -> tuple[bool, str]:
    """Whether the logits of a method's trainings saturate in some part of the trajectory, and what is said of it."""
    slopes = [[last_slope(run, segment) for segment in PARTS] for run in model.runs_of(method)]
    label = model.label(model.row_of(method))
    if any(each is None for run in slopes for each in run):
        return False, (
            f"The runs of {label} did not record the sigmoid factor: whether logits saturate is not known, and nothing "
            "here could refute the claim."
        )
    means = np.array(slopes, dtype=float).mean(axis=0)
    shown = and_list([f"{mean:.2f} at {span(segment)}" for mean, segment in zip(means, PARTS, strict=True)])
    said = f"The mean of 4 s (1 − s) of {label} in the last {LAST:.0%} of the steps is {shown}"
    if (means < SATURATED).any():
        return True, f"{said}: logits saturate."
    return False, f"{said}: logits do not saturate, and nothing here could refute the claim."


def last_slope(run: TrainedRun, segment: Segment) -> float | None:
    """Mean of `4 s (1 - s)` over the last steps' visits to a segment: one without visits, None where it is unknown."""
    total, squares = run.credit.sigmoid_sum, run.credit.sigmoid_square
    if total is None or squares is None:
        return None
    steps, inside = slice(-max(1, round(LAST * run.credit.size)), None), bins_within(run, segment)
    visits = run.credit.count[steps, inside].sum()
    return float(4 * (total - squares)[steps, inside].sum() / visits) if visits else 1.0
