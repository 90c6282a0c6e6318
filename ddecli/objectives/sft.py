"""Supervised fine-tuning on the preferred images."""

from __future__ import annotations

import torch

from ddecli.objectives.base import Objective, ObjectiveOutput, PairErrors


class SFT(Objective):
    """`L = e_theta^w`: the ordinary diffusion loss, winners only."""

    winners_only = True

    def __call__(self, errors: PairErrors) -> ObjectiveOutput:
        return ObjectiveOutput(
            loss=errors.policy_w,
            logit=None,
            gradient_weight=torch.ones_like(errors.policy_w),
        )
