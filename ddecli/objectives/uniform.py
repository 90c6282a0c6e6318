"""Uniform credit for every timestep: Diffusion-DPO (Wallace et al. 2023), Eq. 12 of arXiv 2411.14871."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from ddecli.objectives.base import Objective, ObjectiveOutput, PairErrors


class Uniform(Objective):
    """`L = -log sigmoid(-beta 1/2 D(t))`."""

    def __init__(self, beta: float) -> None:
        self.beta = beta

    def __call__(self, errors: PairErrors) -> ObjectiveOutput:
        logit = -0.5 * self.beta * errors.margin
        loss = -F.logsigmoid(logit)

        gradient_weight = torch.sigmoid(-logit) * (self.beta * 0.5)
        return ObjectiveOutput(loss, logit, gradient_weight.detach())
