"""DDE with stepwise estimates for both segments (an ablation of arXiv 2411.14871)."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from ddecli.diffusion.schedule import NoiseSchedule
from ddecli.objectives.base import Objective, ObjectiveOutput, PairErrors
from ddecli.objectives.delayed_table import DelayedTable


class DDEStep(Objective):
    """`L = -log sigmoid(-beta (t lambda_t D(t) + C(t)))`, `t = 1..T` in the paper's numbering.

    The sampled step stands for the `t` steps of the segment `x_t -> x_0`: one sample of their mean, times
    their number. The paper's text does not fix this weight; the reading is ours.
    """

    def __init__(self, schedule: NoiseSchedule, beta: float, table: DelayedTable) -> None:
        self.schedule = schedule
        self.beta = beta
        self.table: DelayedTable = table

    def __call__(self, errors: PairErrors) -> ObjectiveOutput:
        t_lambda_t = (errors.t + 1) * self.schedule.step_weight(errors.t)
        stepwise_term = t_lambda_t * errors.margin
        correction_term = self.table.correction(errors.t)
        logit = -self.beta * (stepwise_term + correction_term)
        loss = -F.logsigmoid(logit)

        gradient_weight = torch.sigmoid(-logit) * (self.beta * t_lambda_t)
        return ObjectiveOutput(loss, logit, gradient_weight.detach())
