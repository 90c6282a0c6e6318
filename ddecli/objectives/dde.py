"""Denoised Distribution Estimation (DDE), Shi et al., arXiv 2411.14871, Eq. 11.

A sampled step `t` cuts the trajectory in two. What the policy does on each part is estimated from the
errors at hand, without running the model again:

* `x_t -> x_0`, single-shot: DDIM's jump from `x_t` to the clean end, a Gaussian around `x0_hat`. DDIM's own
  variance there is 0, which is no density; the terminal variance is taken as 1, the latents' own scale.
  `log p_theta(x_0 | x_t) = -1/2 ||x_0 - x0_hat||^2 = -1/2 c_t ||eps - eps_theta||^2`, `c_t = 1 / SNR(t)`.
  In other units of the error (`NoiseSchedule.error_unit`) `c_t` and `lambda_k` are such that the products stay.
* `x_T -> x_t`, stepwise: importance ratios `log r_k = -lambda_k e_k` of the steps `k = t+1..T`, taken from a
  table of delayed errors: `C(t) = sum_k lambda_k Dbar_k`, a number without gradient.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from ddecli.diffusion.schedule import NoiseSchedule
from ddecli.objectives.base import Objective, ObjectiveOutput, PairErrors
from ddecli.objectives.delayed_table import DelayedTable


class DDE(Objective):
    """`L = -log sigmoid(-beta (1/2 c_t D(t) + C(t)))`."""

    def __init__(self, schedule: NoiseSchedule, beta: float, table: DelayedTable) -> None:
        self.schedule = schedule
        self.beta = beta
        self.table: DelayedTable = table

    def __call__(self, errors: PairErrors) -> ObjectiveOutput:
        c_t = self.schedule.single_shot_weight(errors.t)
        single_shot_term = 0.5 * c_t * errors.margin
        correction_term = self.table.correction(errors.t)
        logit = -self.beta * (single_shot_term + correction_term)
        loss = -F.logsigmoid(logit)

        gradient_weight = torch.sigmoid(-logit) * (self.beta * 0.5 * c_t)
        return ObjectiveOutput(loss, logit, gradient_weight.detach())
