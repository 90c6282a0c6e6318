"""Which trainings a claim on credit is judged by, and whether their logits saturate, as its words have it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ddecli.core.segments import Segment
from ddecli.reproduction.claims.timesteps import bins_within, span
from ddecli.reproduction.evidence import ModelEvidence, TrainedRun
from ddecli.stats.credit_shares import PARTS
from ddecli.tables.notes import and_list

SATURATED, LAST = 0.5, 0.25
"""Logits saturate where the mean of `4 s (1 - s)`, the slope of the sigmoid over its steepest, has fallen below this in
this last part of the steps. The paper's claims about credit speak of that regime; before it, credit is that of the
coefficients alone."""
IN_SATURATION = (
    "It can be refuted only where logits saturate: where in some part of the trajectory (0-0.2, 0.2-0.7, 0.7-1) the "
    "mean of 4 s (1 − s), s the sigmoid factor of a pair, which is one when training begins, falls below "
    f"{SATURATED:g} in the last {LAST:.0%} of the steps."
)
BY_REGIME = (
    "Where the experiment has trainings made for it, at several β until logits saturate, they judge the claim and not "
    "the reported ones: the longest, at the β where that mean, over the three parts, is smallest, by their last "
    f"{LAST:.0%} of the steps."
)


@dataclass(frozen=True)
class CreditRuns:
    """The trainings that judge a claim.

    Attributes:
        runs: by the part in the claim that each plays.
        late: whether it is their last steps alone that count.
        said: which they are; empty of the reported ones.
    """

    runs: dict[str, list[TrainedRun]]
    late: bool = False
    said: str = ""


def credit_runs(model: ModelEvidence, methods: Sequence[str]) -> CreditRuns:
    """The trainings of a model that judge a claim on the credit of methods.

    Args:
        methods: losses of the paper; logits are those of the first.
    """
    reported = CreditRuns({method: model.runs_of(method) for method in methods})
    if not all(model.regime.get(method) for method in methods):
        return reported
    longest = max(run.credit.size for method in methods for run in model.regime[method])
    by_beta = [beta_runs(model.regime[method], longest) for method in methods]
    betas = [beta for beta in by_beta[0] if all(beta in each for each in by_beta)]
    if not betas:
        return reported
    beta = min(betas, key=lambda each: mean_slope(by_beta[0][each]))
    runs = {method: each[beta] for method, each in zip(methods, by_beta, strict=True)}
    label = and_list([f"{len(given)} of {model.label(method)}" for method, given in runs.items()])
    said = (
        f"Judged by the trainings until logits saturate: {label}, {longest} steps, β {beta:g}, the last {LAST:.0%} of "
        "the steps."
    )
    return CreditRuns(runs, True, said)


def beta_runs(runs: Sequence[TrainedRun], steps: int) -> dict[float, list[TrainedRun]]:
    """The trainings of so many steps, by their beta, the smallest first."""
    long = [run for run in runs if run.credit.size == steps]
    betas = sorted({float(run.settings["beta"]) for run in long})
    return {beta: [run for run in long if float(run.settings["beta"]) == beta] for beta in betas}


def mean_slope(runs: Sequence[TrainedRun]) -> float:
    """Mean of `4 s (1 - s)` over the parts of the trajectory and trainings, in the last steps; one where unknown."""
    slopes = [last_slope(run, segment) for run in runs for segment in PARTS]
    return float(np.mean([1.0 if slope is None else slope for slope in slopes]))


def last_steps(run: TrainedRun) -> slice:
    """The steps by which it is judged whether logits saturate."""
    return slice(-max(1, round(LAST * run.credit.size)), None)


def steps_of(run: TrainedRun, late: bool) -> slice:
    """Those steps, or all."""
    return last_steps(run) if late else slice(None)


def saturation(label: str, runs: Sequence[TrainedRun]) -> tuple[bool, str]:
    """Whether the logits of a method's trainings saturate in some part of the trajectory, and what is said of it."""
    slopes = [[last_slope(run, segment) for segment in PARTS] for run in runs]
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
    steps, inside = last_steps(run), bins_within(run, segment)
    visits = run.credit.count[steps, inside].sum()
    return float(4 * (total - squares)[steps, inside].sum() / visits) if visits else 1.0
