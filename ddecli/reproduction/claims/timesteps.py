"""Segments of the trajectory, and what rules on trainings share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ddecli.core.segments import Segment
from ddecli.reproduction.claims.rule import no_model, single_trainings
from ddecli.reproduction.evidence import ModelEvidence, TrainedRun


def no_runs(
    model: ModelEvidence | None, paper: str, methods: Sequence[str], corrections: bool = False
) -> str:
    """What is missing of the trainings of methods, in words; empty if nothing is.

    Args:
        model: what stands for the paper's model `paper`.
        corrections: whether the runs must have correction terms.
    """
    if model is None:
        return no_model(paper)
    for method in methods:
        given = model.runs_of(method)
        if not given:
            return f"no run folders of {model.absent(model.row_of(method))}"
        if corrections and any(run.credit.corrections is None for run in given):
            return f"no correction terms in the runs of {model.label(model.row_of(method))}"
    return ""


def lone_runs(model: ModelEvidence, runs: Mapping[str, Sequence[TrainedRun]]) -> tuple[str, ...]:
    """Names the methods with one run, over which no interval can be formed; empty if there is none.

    Args:
        runs: by the part that each plays.
    """
    return single_trainings(
        model,
        {model.row_of(method): given for method, given in runs.items()},
        ", so there is no interval",
    )


def bins_within(run: TrainedRun, segment: Segment) -> np.ndarray:
    """Which timestep bins of a run's credit map have their middle in a segment: `(bins,)` of bool."""
    middles = (run.credit.edges[:-1] + run.credit.edges[1:]) / 2
    return (segment[0] <= middles) & (middles < segment[1])


def span(segment: Segment) -> str:
    """A segment as it is written: "0.2-0.7"."""
    return f"{segment[0]:g}-{segment[1]:g}"
