"""DDE with the single-shot estimate alone (an ablation of arXiv 2411.14871)."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from ddecli.diffusion.schedule import NoiseSchedule
from ddecli.objectives.base import Objective, ObjectiveOutput, PairErrors


class DDESingle(Objective):
    """`L = -log sigmoid(-beta 1/2 c_t D(t))`: the segment `x_T -> x_t` is left out."""

    def __init__(self, schedule: NoiseSchedule, beta: float) -> None:
        self.schedule = schedule
        self.beta = beta

    def __call__(self, errors: PairErrors) -> ObjectiveOutput:
        c_t = self.schedule.single_shot_weight(errors.t)
        single_shot_term = 0.5 * c_t * errors.margin
        logit = -self.beta * single_shot_term
        loss = -F.logsigmoid(logit)

        gradient_weight = torch.sigmoid(-logit) * (self.beta * 0.5 * c_t)
        return ObjectiveOutput(loss, logit, gradient_weight.detach())
