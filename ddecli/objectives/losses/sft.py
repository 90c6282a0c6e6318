"""Supervised fine-tuning on the preferred images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ddecli.objectives.base import Objective, ObjectiveOutput, PairErrors
from ddecli.objectives.loss import Loss

if TYPE_CHECKING:
    from ddecli.diffusion.schedule import NoiseSchedule


class SFT(Objective):
    """`L = e_theta^w`: the ordinary diffusion loss, winners only."""

    needs_losers = False
    needs_reference = False

    def __init__(self, schedule: NoiseSchedule) -> None:
        pass

    def __call__(self, errors: PairErrors) -> ObjectiveOutput:
        import torch

        return ObjectiveOutput(
            loss=errors.policy_w,
            logit=None,
            gradient_weight=torch.ones_like(errors.policy_w),
        )


LOSS = Loss(
    "sft",
    "SFT",
    "supervised fine-tuning on the preferred images",
    SFT,
    colour="#7F7F7F",
    marker="D",
)
