"""Parts of the trajectory, and what rules on trainings share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ddecli.reporting.evidence import ModelEvidence, TrainedRun

Part = tuple[float, float]
"""A part of the trajectory, in fractions of T; 0 is the clean image."""
CLEAN, MIDDLE, NOISE = (0.0, 0.2), (0.2, 0.7), (0.7, 1.0)


def no_runs(model: ModelEvidence | None, methods: Sequence[str], corrections: bool = False) -> str:
    """What is missing of trainings, in words."""
    if model is None:
        return "no model stands for it"
    for method in methods:
        given = model.runs.get(method, [])
        if not given:
            return f"no run folders of {model.label(method)}"
        if corrections and any(run.credit.corrections is None for run in given):
            return f"no correction terms in the runs of {model.label(method)}"
    return ""


def lone_remark(model: ModelEvidence, methods: Sequence[str]) -> tuple[str, ...]:
    lone = [model.label(method) for method in methods if method and len(model.runs[method]) == 1]
    return (f"There is one training only of {' and '.join(lone)}, so there is no interval.",) if lone else ()


def bins(run: TrainedRun, part: Part) -> np.ndarray:
    middles = (run.credit.edges[:-1] + run.credit.edges[1:]) / 2
    return (part[0] <= middles) & (middles < part[1])


def span(part: Part) -> str:
    return f"{part[0]:g}-{part[1]:g}"
