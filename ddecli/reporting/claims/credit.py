"""Rules on credit: gradient weights by timestep, and the coefficients behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ddecli.core.segments import Segment
from ddecli.reporting.bootstrap import Interval
from ddecli.reporting.claims.rule import Rule, no_model
from ddecli.reporting.claims.timesteps import bins_within, lone_runs, no_runs, span
from ddecli.reporting.claims.verdicts import (
    Comparison,
    Outcome,
    corrected_level,
    mean_variance,
    over_trainings,
    student_interval,
)
from ddecli.reporting.evidence import Evidence, TrainedRun

NO_SCHEDULE = "the noise schedule of the model is not at hand"


@dataclass(frozen=True)
class CreditWeight(Rule):
    """The mean gradient weight of a visit is larger in one segment of the trajectory than in others.

    Attributes:
        than: segments whose weight must be smaller.
        rival: a method in which the same ratios must be smaller; empty: they must exceed one.
    """

    paper: str
    method: str
    segment: Segment
    than: tuple[Segment, ...]
    rival: str = ""

    @property
    def text(self) -> str:
        others = " and that in ".join(span(segment) for segment in self.than)
        text = (
            f"The mean gradient weight |∂L/∂D| of a visit at t/T in {span(self.segment)}, "
            f"divided by that in {others}, lies above "
        )
        if self.rival:
            return text + "the same ratio in uniform training."
        return text + "one."

    def judge(self, evidence: Evidence) -> Outcome:
        model = evidence.of(self.paper)
        methods = [self.method, self.rival] if self.rival else [self.method]
        missing = no_runs(model, self.paper, methods)
        if model is None or missing:
            return Outcome(missing=missing)
        level = corrected_level(len(self.than))
        comparisons = []
        for other in self.than:
            ours = self._log_ratios(model.runs_of(self.method), other)
            quantity = f"weight at {span(self.segment)} over weight at {span(other)}"
            if self.rival:
                theirs = self._log_ratios(model.runs_of(self.rival), other)
                label = f"{model.label(model.row_of(self.method))} / {model.label(model.row_of(self.rival))}"
                middle = float(ours.mean() - theirs.mean())
                interval = student_interval(middle, [mean_variance(ours), mean_variance(theirs)], level)
            else:
                label, middle = model.label(model.row_of(self.method)), float(ours.mean())
                interval = over_trainings(ours, level)
            interval = interval and Interval(float(np.exp(interval.low)), float(np.exp(interval.high)))
            comparisons.append(
                Comparison(label, quantity, float(np.exp(middle)), interval, interval, bound=1.0)
            )
        return Outcome(tuple(comparisons), remarks=lone_runs(model, methods))

    def _log_ratios(self, runs: Sequence[TrainedRun], other: Segment) -> np.ndarray:
        """Logarithm of the ratio of weights, one a training: a ratio's spread is even on that scale."""
        return np.array([np.log(visit_weight(run, self.segment) / visit_weight(run, other)) for run in runs])


def visit_weight(run: TrainedRun, segment: Segment) -> float:
    """Mean of `|dL/dD|` over all pairs of a run whose timestep lay in a segment; NaN where none did, or all were 0."""
    inside = bins_within(run, segment)
    visits = run.credit.count[:, inside].sum()
    return float(run.credit.weight_sum[:, inside].sum() / visits) or np.nan if visits else np.nan


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
            f"training begins) is smaller at t/T in {span(self.segment)} than in {span(self.than)}."
        )

    def judge(self, evidence: Evidence) -> Outcome:
        model = evidence.of(self.paper)
        missing = no_runs(model, self.paper, [self.method])
        if model is None or missing:
            return Outcome(missing=missing)
        if model.coefficients is None:
            return Outcome(missing=NO_SCHEDULE)
        c_t = model.coefficients
        pairs = np.array(
            [
                [sigmoid_factor(run, c_t, segment) for segment in (self.segment, self.than)]
                for run in model.runs_of(self.method)
            ]
        )
        differences = pairs[:, 0] - pairs[:, 1]
        interval = over_trainings(differences, corrected_level(1))
        comparison = Comparison(
            f"{model.label(model.row_of(self.method))}: {span(self.segment)} − {span(self.than)}",
            "sigmoid factor",
            float(differences.mean()),
            interval,
            interval,
            above=False,
            base=float(pairs[:, 1].mean()),
        )
        here, there = pairs.mean(axis=0)
        means = f"The factor is {here:.3f} at {span(self.segment)} and {there:.3f} at {span(self.than)}."
        return Outcome((comparison,), remarks=(means, *lone_runs(model, [self.method])))


def sigmoid_factor(run: TrainedRun, coefficients: np.ndarray, segment: Segment) -> float:
    """Gradient weight of a segment over what it would be if the sigmoid were one, `beta c_t / 2` at every visit.

    Args:
        coefficients: `(T,)`; of a bin their mean is taken.
    """
    inside = bins_within(run, segment)
    edges = np.round(run.credit.edges * len(coefficients)).astype(int)
    means = np.array([coefficients[low:high].mean() for low, high in pairwise(edges)])
    full = float(run.settings["beta"]) * means / 2 * run.credit.count.sum(axis=0)
    return float(run.credit.weight_sum[:, inside].sum() / full[inside].sum())


@dataclass(frozen=True)
class CoefficientsRise(Rule):
    """Single-shot coefficients increase with t: a property of the noise schedule, exact."""

    paper: str

    @property
    def text(self) -> str:
        return (
            "The coefficient c_t = (1 − ᾱ_t) / ᾱ_t of the model's own noise schedule rises from every timestep to the "
            "next."
        )

    def judge(self, evidence: Evidence) -> Outcome:
        model = evidence.of(self.paper)
        if model is None:
            return Outcome(missing=no_model(self.paper))
        if model.coefficients is None:
            return Outcome(missing=NO_SCHEDULE)
        c_t = model.coefficients
        smallest = float(np.diff(c_t).min())
        exact = Interval(smallest, smallest)
        comparison = Comparison(
            model.name, f"smallest rise over {len(c_t)} timesteps", smallest, exact, exact
        )
        return Outcome((comparison,), remarks=(f"c_t goes from {c_t[0]:.3g} to {c_t[-1]:.3g}.",))
