"""Errors of policy and reference on a batch of pairs: the same code path for both."""

from __future__ import annotations

import contextlib

import torch
from torch import Tensor

from ddecli.models.base import DiffusionModel
from ddecli.objectives.base import PairErrors
from ddecli.training.batches import Batch


def errors_by_row(
    model: DiffusionModel, batch: Batch, autocast: contextlib.AbstractContextManager[None]
) -> Tensor:
    """Error of every row of a batch, (2B,) float32, in the unit of the model's schedule, formed outside of autocast."""
    noisy = model.schedule.add_noise(batch.latents, batch.eps, batch.t)
    noisy = noisy.contiguous(memory_format=torch.channels_last)
    with autocast:
        prediction = model.predict(noisy, batch.t, batch.conditioning, batch.sizes)
    return model.schedule.error(prediction, batch.latents, noisy, batch.eps, batch.t)


def pair_errors(
    policy: DiffusionModel,
    reference: DiffusionModel,
    batch: Batch,
    autocast: contextlib.AbstractContextManager[None],
    winners_only: bool = False,
) -> PairErrors:
    """The four errors of every pair, (B,) each; winners and losers go through the model together.

    The reference goes first: what it needs is free again before the policy keeps its activations.

    Args:
        reference: the frozen copy, or `policy` itself if its adapters can be switched off.
        winners_only: only the policy's errors on winners, for objectives that look at nothing else.
    """
    if winners_only:
        half = batch.winners()
        return PairErrors(errors_by_row(policy, half, autocast), None, None, None, half.t)
    with torch.no_grad(), reference.without_lora():
        reference_w, reference_l = errors_by_row(reference, batch, autocast).chunk(2)
    policy_w, policy_l = errors_by_row(policy, batch, autocast).chunk(2)
    return PairErrors(policy_w, policy_l, reference_w, reference_l, batch.t.chunk(2)[0])
