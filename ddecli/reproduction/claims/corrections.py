"""Rules on the correction terms of the stepwise estimation."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ddecli.core.segments import CLEAN, MIDDLE, Segment
from ddecli.reproduction.claims.rule import Rule
from ddecli.reproduction.claims.timesteps import bins_within, lone_runs, no_runs, span
from ddecli.reproduction.claims.verdicts import Outcome, compared
from ddecli.reproduction.evidence import Evidence, TrainedRun
from ddecli.stats.intervals import corrected_level, estimate_over_trainings

SETTLED_BY = 100
"""Iterations after which the paper sees the correction terms settled."""
SETTLED_CHANGE = 0.1
"""Relative change of the profile up to which it counts as settled."""
LAST_PART = 0.75
"""A run too short for the paper's number is looked at from three quarters of its iterations on."""


@dataclass(frozen=True)
class CorrectionsSettle(Rule):
    """The profile of correction terms changes little after the 100th iteration."""

    paper: str
    method: str

    @property
    def text(self) -> str:
        return (
            f"From iteration {SETTLED_BY} to the end of training the profile of correction terms C(t) "
            f"changes by less than {100 * SETTLED_CHANGE:.0f} % (Euclidean norm of the change over that of "
            f"the last profile). A run of fewer than {SETTLED_BY / LAST_PART:.0f} iterations is looked at "
            "from three quarters of them on, and cannot refute the claim."
        )

    def judge(self, evidence: Evidence) -> Outcome:
        model = evidence.of(self.paper)
        missing = no_runs(model, self.paper, [self.method], corrections=True)
        if model is None or missing:
            return Outcome(missing=missing)
        runs = model.runs_of(self.method)
        steps = min(run.credit.size for run in runs)
        start = min(SETTLED_BY, int(LAST_PART * steps))
        changes = np.array([_change(run, start) for run in runs])
        short = start < SETTLED_BY
        comparison = compared(
            model.label(model.row_of(self.method)),
            f"relative change from iteration {start} to {steps}",
            estimate_over_trainings(changes),
            corrected_level(1),
            SETTLED_CHANGE,
            above=False,
            refutable=not short,  # what still changes before the 100th iteration may settle by then
        )
        remarks = list(lone_runs(model, {self.method: model.runs_of(self.method)}))
        if short:
            remarks.append(
                f"The trainings have {steps} iterations only, fewer than the paper's {SETTLED_BY}."
            )
        if model.coefficients is not None:
            visits = np.mean([run.credit.count.sum() for run in runs]) / len(model.coefficients)
            remarks.append(f"A timestep was visited {visits:.1f} times on average in a whole training.")
        return Outcome((comparison,), remarks=tuple(remarks))


def _change(run: TrainedRun, start: int) -> float:
    """Relative change of the profile from after iteration `start` to the end."""
    profile = _corrections(run)
    last = np.linalg.norm(profile[-1])
    return float(np.linalg.norm(profile[-1] - profile[start - 1]) / last) if last else np.nan


@dataclass(frozen=True)
class CorrectionsFall(Rule):
    """The size of correction terms falls as t increases."""

    paper: str
    method: str

    @property
    def text(self) -> str:
        return (
            "After training, the rank correlation (Spearman) of |C(t)|, the size of the correction term, "
            "with t lies below zero."
        )

    def judge(self, evidence: Evidence) -> Outcome:
        model = evidence.of(self.paper)
        missing = no_runs(model, self.paper, [self.method], corrections=True)
        if model is None or missing:
            return Outcome(missing=missing)
        correlations = np.array([_rank_correlation(run) for run in model.runs_of(self.method)])
        comparison = compared(
            model.label(model.row_of(self.method)),
            "rank correlation of |C(t)| with t",
            estimate_over_trainings(correlations),
            corrected_level(1),
            above=False,
        )
        if comparison.interval:
            comparison = replace(comparison, interval=comparison.interval.within(-1, 1))
        return Outcome((comparison,), remarks=lone_runs(model, {self.method: model.runs_of(self.method)}))


def _rank_correlation(run: TrainedRun) -> float:
    """Of the size of the last corrections with t; NaN where all are equal."""
    from scipy.stats import spearmanr

    sizes = np.abs(_corrections(run)[-1])
    return float(spearmanr(run.credit.edges[:-1], sizes).statistic) if np.ptp(sizes) else np.nan


@dataclass(frozen=True)
class CorrectionsWeaken(Rule):
    """Correction terms raise the logit near the clean image more than in the middle, so the gradient shrinks."""

    paper: str
    method: str

    @property
    def text(self) -> str:
        return (
            "The share by which the final correction term lowers the sigmoid of an undecided pair, "
            f"1 − 2 σ(β C(t)), is larger at t/T in {span(CLEAN)} than in {span(MIDDLE)}."
        )

    def judge(self, evidence: Evidence) -> Outcome:
        model = evidence.of(self.paper)
        missing = no_runs(model, self.paper, [self.method], corrections=True)
        if model is None or missing:
            return Outcome(missing=missing)
        pairs = np.array(
            [[_weakening(run, segment) for segment in (CLEAN, MIDDLE)] for run in model.runs_of(self.method)]
        )
        differences = pairs[:, 0] - pairs[:, 1]
        comparison = compared(
            f"{model.label(model.row_of(self.method))}: {span(CLEAN)} − {span(MIDDLE)}",
            "share by which the sigmoid is lowered",
            estimate_over_trainings(differences),
            corrected_level(1),
            base=float(pairs[:, 1].mean()),
        )
        near = -100 * pairs[:, 0]
        reach = estimate_over_trainings(near).interval()
        size = (
            "Near the clean image the correction changes the gradient weight of an undecided pair by "
            f"{near.mean():+.2g} %"
            + (f" (95 % interval over trainings: {reach.low:+.2g} to {reach.high:+.2g})." if reach else ".")
        )
        return Outcome(
            (comparison,), remarks=(size, *lone_runs(model, {self.method: model.runs_of(self.method)}))
        )


def _weakening(run: TrainedRun, segment: Segment) -> float:
    """Mean over a segment of `1 - 2 sigmoid(beta C(t))`: at `z = 0` without correction, `sigmoid(-z)` is one half."""
    shift = float(run.settings["beta"]) * _corrections(run)[-1][bins_within(run, segment)]
    return float(np.mean(-np.tanh(shift / 2)))


def _corrections(run: TrainedRun) -> np.ndarray:
    corrections = run.credit.corrections
    assert corrections is not None  # no_runs has looked
    return corrections
