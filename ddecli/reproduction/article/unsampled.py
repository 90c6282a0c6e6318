"""What is trained and never sampled: the timesteps above the largest one that sampling visits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from ddecli.core.protocol import spacing_of
from ddecli.reproduction.article.words import percent
from ddecli.reproduction.evidence import ModelEvidence, TrainedRun
from ddecli.tables.notes import and_list

WEIGHED = ("dde", "dde-single")
"""The losses whose weight of a visited timestep is the single-shot coefficient `c_t`."""


def unsampled(model: ModelEvidence) -> Iterator[str]:
    """How much of what each method trained lies above the largest timestep that its images were sampled with."""
    last, c_t = model.last_sampled, model.coefficients
    if last is None or c_t is None:
        return
    protocol = model.base.protocol
    said = (
        f"{model.name}: in {protocol['steps']} steps of {spacing_of(protocol)} spacing the largest timestep that "
        f"sampling visits is {last} of 0 to {len(c_t) - 1}"
    )
    if last == len(c_t) - 1:
        yield f"{said}: no timestep that is trained lies above it."
        return
    shares = defaultdict(list)
    for method, given in model.runs.items():
        for share in {_percent(draws_above(run, last, len(c_t))) for run in given}:
            shares[share].append(model.label(method))
    drawn = [f"{share} of the draws of {and_list(labels)}" for share, labels in shares.items()]
    weighed = [model.label(method) for method in model.runs if model.losses.get(method) in WEIGHED]
    if weighed:
        share = _percent(float(c_t[last + 1 :].sum() / c_t.sum()))
        weigh = "weighs" if len(weighed) == 1 else "weigh"
        drawn.append(f"{share} of the sum of c_t, by which {and_list(weighed)} {weigh} a timestep")
    yield f"{said}. What is trained above it shows in images through the shared weights alone: {and_list(drawn)}."


def draws_above(run: TrainedRun, last: int, timesteps: int) -> float:
    """The share of a training's draws of `t` that lies above a timestep, by its loss's own distribution."""
    from ddecli.objectives.registry import build_sampler

    settings = run.settings
    sampler = build_sampler(settings["loss"], timesteps, settings.get("segment"), settings.get("gamma", 0.9))
    return float(sampler.probabilities[last + 1 :].sum())


def _percent(share: float) -> str:
    return percent(float(f"{share:.2g}"))
