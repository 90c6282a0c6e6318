"""Errors of policy and reference on a batch of pairs: the same code path for both."""

from __future__ import annotations

import contextlib

import torch
from torch import Tensor

from ddecli.diffusion.schedule import mean_square
from ddecli.models.base import DiffusionModel
from ddecli.objectives.base import Objective, PairErrors
from ddecli.training.batches import Batch
from ddecli.training.moving_reference import MovingReference


def residuals_by_row(
    model: DiffusionModel | MovingReference,
    batch: Batch,
    autocast: contextlib.AbstractContextManager[None],
) -> Tensor:
    """What the predictions of a batch are off by, (2B, C, H, W) float32 in the schedule's unit; not under autocast."""
    noisy = model.schedule.add_noise(batch.latents, batch.eps, batch.t)
    noisy = noisy.contiguous(memory_format=torch.channels_last)
    with autocast:
        prediction = model.predict(noisy, batch.t, batch.conditioning, batch.sizes)
    return model.schedule.residual(prediction, batch.latents, noisy, batch.eps, batch.t)


def errors_by_row(
    model: DiffusionModel | MovingReference,
    batch: Batch,
    autocast: contextlib.AbstractContextManager[None],
) -> Tensor:
    """Error of every row of a batch, (2B,) float32, in the unit of the model's schedule."""
    return mean_square(residuals_by_row(model, batch, autocast))


def pair_errors(
    policy: DiffusionModel,
    reference: DiffusionModel | MovingReference | None,
    batch: Batch,
    autocast: contextlib.AbstractContextManager[None],
    objective: Objective | None = None,
    known: Tensor | None = None,
) -> PairErrors:
    """The errors of every pair that an objective needs, (B,) each; winners and losers go through a model together.

    The reference goes first: what it needs is free again before the policy keeps its activations.

    Args:
        reference: the frozen copy, `policy` itself if its adapters can be switched off, or one that follows it.
        objective: whose needs are met; without one all four errors are formed.
        known: (2, B) errors of the reference on these very pairs, which is then not asked.
    """
    with_losers = objective is None or objective.needs_losers
    rows, sides = (batch, 2) if with_losers else (batch.winners(), 1)
    of_reference: tuple[Tensor, ...] = ()
    off_reference: Tensor | None = None
    if known is not None:
        of_reference = known.unbind(0)
    elif objective is None or objective.needs_reference:
        assert reference is not None
        with torch.no_grad(), reference.as_reference():
            off_reference = residuals_by_row(reference, rows, autocast)
        of_reference = mean_square(off_reference).chunk(sides)
    off_policy = residuals_by_row(policy, rows, autocast)
    policy_w, policy_l = _sides(mean_square(off_policy).chunk(sides))
    reference_w, reference_l = _sides(of_reference)
    assert policy_w is not None
    distance = overlap = None
    if objective is not None and objective.needs_distance:
        assert off_reference is not None
        distance = mean_square(off_policy.chunk(sides)[0] - off_reference.chunk(sides)[0])
    if objective is not None and objective.needs_overlap:
        winner, loser = off_policy.detach().chunk(2)
        overlap = (winner * loser).flatten(1).mean(1)
    t = rows.t.chunk(sides)[0]
    strength = None if rows.strength is None else rows.strength.chunk(sides)[0]
    return PairErrors(policy_w, policy_l, reference_w, reference_l, t, distance, overlap, strength)


def _sides(errors: tuple[Tensor, ...]) -> tuple[Tensor | None, Tensor | None]:
    winner, loser = (*errors, None, None)[:2]
    return winner, loser
