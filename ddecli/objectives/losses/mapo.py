"""MaPO (Hong et al. 2024, arXiv 2406.06424): preference without a reference, beside fine-tuning on the winners.

Written after its public code, whose numbers are the defaults here: `a` 1/2 (there an option), `beta` 0.1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ddecli.objectives.base import Objective, ObjectiveOutput, PairErrors
from ddecli.objectives.loss import Loss

if TYPE_CHECKING:
    from torch import Tensor

    from ddecli.diffusion.schedule import NoiseSchedule

A = 0.5


class MaPO(Objective):
    """`L = e_theta^w - beta log sigmoid(z)`, `z = T (s(e_theta^w) - s(e_theta^l))`, `s(e) = a e / (exp(a e) - 1)`.

    `s` falls from 1 with slope `-a / 2` and never below 0. Here `beta` is a weight beside the winners' error, and no
    strength within the sigmoid.
    """

    needs_reference = False

    def __init__(self, schedule: NoiseSchedule, beta: float) -> None:
        self.beta, self.T = beta, schedule.num_timesteps

    def __call__(self, errors: PairErrors) -> ObjectiveOutput:
        import torch
        import torch.nn.functional as F

        if errors.policy_l is None:
            raise ValueError("MaPO needs the errors of both images under the policy")
        # T takes a difference of numbers near 1 a thousandfold: in float64 nothing of it is lost.
        winner, loser = errors.policy_w.double(), errors.policy_l.double()
        z = self.T * (score(winner) - score(loser))
        loss = winner - self.beta * F.logsigmoid(z)
        gradient_weight = 1 + self.beta * torch.sigmoid(-z) * self.T * -slope(winner)
        dtype = errors.policy_w.dtype
        return ObjectiveOutput(loss.to(dtype), None, gradient_weight.detach().to(dtype))


def score(e: Tensor) -> Tensor:
    """`s(e)`, 1 where there is no error."""
    x = (A * e).clamp_min(1e-12)
    return x / x.expm1()


def slope(e: Tensor) -> Tensor:
    """`ds / de`."""
    x = (A * e).clamp_min(1e-12)
    return A * (x.expm1() - x * x.exp()) / x.expm1().square()


LOSS = Loss(
    "mapo",
    "MaPO",
    "MaPO: the winners' error and a preference that needs no reference",
    MaPO,
    paper="arXiv:2406.06424",
    settings=("beta",),
    defaults={"beta": 0.1},
    colour="#EE8866",
    marker="d",
    line=(0, (3, 1, 1, 1)),
)
