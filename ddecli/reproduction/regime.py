"""The middle's share of DDE's credit over training, by beta: where it lies above uniform's, or above one half."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ddecli.core.segments import MIDDLE
from ddecli.reproduction.claims.regime import beta_runs, mean_slope
from ddecli.reproduction.evidence import ModelEvidence, TrainedRun
from ddecli.stats.credit_shares import PARTS, By, measure, shares, window_of

HALF = 0.5
Steps = tuple[int, int]
"""The first and the last step of a window, from 1."""


@dataclass(frozen=True)
class BetaCredit:
    """The trainings of one beta.

    Attributes:
        trainings: number of them, of DDE.
        first, largest, last: the middle's share of DDE's credit at the first step, at its largest, and at the end.
        rival: the same share of uniform training at the end; None where there is none with this beta.
        single: the same share of DDE without corrections at the end; None where there is none with this beta.
        correction: the largest `beta |C(t)|` at the end, what the correction terms add to a logit of DDE.
        slope: mean of `4 s (1 - s)` of DDE in the last steps: one before anything is learned, 0 where all is.
        above_uniform, above_half: the longest window; None where there is none.
    """

    beta: float
    trainings: int
    first: float
    largest: float
    last: float
    rival: float | None
    single: float | None
    correction: float | None
    slope: float
    above_uniform: Steps | None
    above_half: Steps | None


@dataclass(frozen=True)
class Regime:
    """The longest trainings of a model until logits saturate, of DDE and beside it of uniform training.

    Attributes:
        by: what credit is.
        steps: of each training.
        chosen: the beta of the reported trainings of DDE; None where they have none, or several.
    """

    by: By
    steps: int
    betas: tuple[BetaCredit, ...]
    chosen: float | None

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @property
    def of_chosen(self) -> BetaCredit | None:
        """The trainings at the beta of the reported ones, if there are any."""
        return next((each for each in self.betas if each.beta == self.chosen), None)


def regime_of(model: ModelEvidence) -> Regime | None:
    """What the trainings until logits saturate tell of a model; None without those of DDE."""
    dde, uniform, single = (model.regime.get(loss, []) for loss in ("dde", "uniform", "dde-single"))
    if not dde:
        return None
    steps = max(run.credit.size for run in dde)
    ours, theirs, without = (beta_runs(runs, steps) for runs in (dde, uniform, single))
    by = measure([run.credit for runs in (ours, theirs, without) for given in runs.values() for run in given])
    betas = tuple(
        _beta(beta, given, theirs.get(beta, []), without.get(beta, []), by) for beta, given in ours.items()
    )
    used = {float(run.settings["beta"]) for run in model.runs_of("dde")}
    return Regime(by, steps, betas, used.pop() if len(used) == 1 else None)


def _beta(
    beta: float,
    ours: Sequence[TrainedRun],
    theirs: Sequence[TrainedRun],
    without: Sequence[TrainedRun],
    by: By,
) -> BetaCredit:
    share = middle_share(ours, by)
    rival = middle_share(theirs, by) if theirs else None
    corrections = [run.credit.corrections[-1] for run in ours if run.credit.corrections is not None]
    return BetaCredit(
        beta,
        len(ours),
        float(share[0]),
        float(share.max()),
        float(share[-1]),
        None if rival is None else float(rival[-1]),
        float(middle_share(without, by)[-1]) if without else None,
        float(beta * np.mean([np.abs(each).max() for each in corrections])) if corrections else None,
        mean_slope(ours),
        None if rival is None else longest(share > rival),
        longest(share > HALF),
    )


def middle_share(runs: Sequence[TrainedRun], by: By) -> np.ndarray:
    """The middle's share of the credit around each step, mean of the trainings, `(steps,)`; 0 without credit."""
    found = [np.nan_to_num(shares(run.credit, by)[PARTS.index(MIDDLE)]) for run in runs]
    mean: np.ndarray = np.mean(found, axis=0)
    return mean


def longest(inside: np.ndarray) -> Steps | None:
    """The longest stretch of steps, `(steps,)` of bool, if it is as long as what a share is taken over; else None."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], inside, [False]]).astype(int)))
    stretches = edges.reshape(-1, 2)
    if not len(stretches):
        return None
    start, end = stretches[np.argmax(stretches[:, 1] - stretches[:, 0])]
    return (int(start) + 1, int(end)) if end - start >= window_of(len(inside)) else None
