"""Rules on credit: what timesteps get of the gradient, and the coefficients behind it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from ddecli.core.segments import Segment
from ddecli.reproduction.claims.regime import BY_REGIME, IN_SATURATION, credit_runs, saturation, steps_of
from ddecli.reproduction.claims.rule import Rule, no_model
from ddecli.reproduction.claims.saturation import NO_SCHEDULE
from ddecli.reproduction.claims.timesteps import bins_within, lone_runs, no_runs, span
from ddecli.reproduction.claims.verdicts import ClaimComparison, Outcome
from ddecli.reproduction.evidence import Evidence, TrainedRun
from ddecli.stats.intervals import Estimate, Interval, corrected_level, estimate_over_trainings
from ddecli.stats.rows import shared_seeds
from ddecli.tables.notes import and_list


@dataclass(frozen=True)
class CreditWeight(Rule):
    """The mean credit of a visit is larger in one segment of the trajectory than in others.

    Credit is the norm of the gradient of a pair's loss in the weights, where every run recorded it. The gradient weight
    `|dL/dD|` stands in elsewhere; it has the unit of an error, and its ratios change with it.

    Attributes:
        than: segments whose credit must be smaller.
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
        bound = "the same ratio in uniform training" if self.rival else "one"
        return (
            f"The mean credit of a visit at t/T in {span(self.segment)}, divided by that in {others}, lies above "
            f"{bound}. Credit is the norm of the gradient of a pair's loss in the weights, which has no unit of an "
            "error; where a run did not record it, the gradient weight |∂L/∂D| of errors of the noise, whose ratios "
            f"are other ones in other units. {IN_SATURATION} {BY_REGIME}"
        )

    def judge(self, evidence: Evidence) -> Outcome:
        model = evidence.of(self.paper)
        methods = [self.method, self.rival] if self.rival else [self.method]
        if model is None:
            return Outcome(missing=no_model(self.paper))
        judging = credit_runs(model, methods)
        missing = "" if judging.late else no_runs(model, self.paper, methods)
        if missing:
            return Outcome(missing=missing)
        level = corrected_level(len(self.than))
        by_norm = all(run.credit.norms is not None for given in judging.runs.values() for run in given)
        credit = partial(visit_norm if by_norm else visit_weight, late=judging.late)
        kind = "gradient norm" if by_norm else "weight |∂L/∂D| (errors of the noise)"
        saturated, said = saturation(model.label(model.row_of(self.method)), judging.runs[self.method])
        comparisons = []
        for other in self.than:
            quantity = f"{kind} at {span(self.segment)} over that at {span(other)}"
            if self.rival:
                label = f"{model.label(model.row_of(self.method))} / {model.label(model.row_of(self.rival))}"
            else:
                label = model.label(model.row_of(self.method))
            found = self._log_ratio(list(judging.runs.values()), other, credit)
            interval = found.interval(level)
            comparisons.append(
                ClaimComparison(
                    label,
                    quantity,
                    float(np.exp(found.value)),
                    interval and Interval(float(np.exp(interval.low)), float(np.exp(interval.high))),
                    bound=1.0,
                    refutable=saturated,
                    trainings=len(found.by_training),
                    below=found.below or 0,
                    level=level,
                )
            )
        remarks = [said, *lone_runs(model, judging.runs)]
        if by_norm:
            weight = partial(visit_weight, late=judging.late)
            ratios = [self._log_ratios(judging.runs[self.method], other, weight) for other in self.than]
            weights = and_list([f"{np.exp(each.mean()):.3g}" for each in ratios])
            remarks.insert(
                0,
                f"By |∂L/∂D| of errors of the noise {model.label(model.row_of(self.method))} has {weights}.",
            )
        return Outcome(tuple(comparisons), remarks=tuple(([judging.said] if judging.said else []) + remarks))

    def _log_ratio(
        self,
        methods: Sequence[Sequence[TrainedRun]],
        other: Segment,
        credit: Callable[[TrainedRun, Segment], float],
    ) -> Estimate:
        """Mean logarithm of a method's ratio, or by how much it lies above its rival's, trainings paired by seed."""
        ours, *rivals = (self._log_ratios(runs, other, credit) for runs in methods)
        if not rivals:
            return estimate_over_trainings(ours)
        seeds = [_seeds(runs) for runs in methods]
        pairs = shared_seeds(seeds[0], seeds[1])
        if pairs is None:
            return estimate_over_trainings(ours, -rivals[0])
        return estimate_over_trainings(ours[pairs[0]] - rivals[0][pairs[1]])

    def _log_ratios(
        self, runs: Sequence[TrainedRun], other: Segment, credit: Callable[[TrainedRun, Segment], float]
    ) -> np.ndarray:
        """Logarithm of the ratio of credit, one a training: a ratio's spread is even on that scale."""
        return np.array([np.log(credit(run, self.segment) / credit(run, other)) for run in runs])


def _seeds(runs: Sequence[TrainedRun]) -> tuple[int, ...] | None:
    """The seed of each training; None where one is not known, or is there twice."""
    seeds = [run.settings.get("seed") for run in runs]
    known = tuple(seed for seed in seeds if isinstance(seed, int))
    return known if len(set(known)) == len(runs) else None


def visit_norm(run: TrainedRun, segment: Segment, late: bool = False) -> float:
    """Mean norm of the gradient in the weights of a run's pairs in a segment; NaN as `visit_weight`."""
    norms = run.credit.norms
    return np.nan if norms is None else _mean_visit(run, norms, segment, late)


def visit_weight(run: TrainedRun, segment: Segment, late: bool = False) -> float:
    """Mean of `|dL/dD|` over all pairs of a run whose timestep lay in a segment; NaN where none did, or all were 0.

    Args:
        late: over those of the last steps alone.
    """
    return _mean_visit(run, run.credit.weight_sum, segment, late)


def _mean_visit(run: TrainedRun, sums: np.ndarray, segment: Segment, late: bool) -> float:
    inside, steps = bins_within(run, segment), steps_of(run, late)
    visits = run.credit.count[steps, inside].sum()
    return float(sums[steps, inside].sum() / visits) or np.nan if visits else np.nan


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
        comparison = ClaimComparison(model.name, f"smallest rise over {len(c_t)} timesteps", smallest, exact)
        return Outcome((comparison,), remarks=(f"c_t goes from {c_t[0]:.3g} to {c_t[-1]:.3g}.",))
