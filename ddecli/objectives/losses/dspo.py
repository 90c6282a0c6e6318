"""DSPO (Zhu et al., ICLR 2025, openreview DomBynQsqt): the score of the preferred image, matched beside a preference.

Paper and public code differ, and so does the code between models: this is what it does for SD1.5. For SDXL it has
another formula, whose beta is a million times larger.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ddecli.objectives.base import Objective, ObjectiveOutput, PairErrors
from ddecli.objectives.loss import Loss

if TYPE_CHECKING:
    from ddecli.diffusion.schedule import NoiseSchedule


class DSPO(Objective):
    """`L = mean (f_theta^w - f - w (f_theta^w - f_ref^w))^2`, `w = beta (1 - sigmoid(-beta 1/2 D(t)))`.

    `f_theta^w`, `f_ref^w` are what policy and reference predict of the winner, `f` what they should. With `d` the
    mean square between the two predictions it is `(1 - w) e_theta^w + w e_ref^w - w (1 - w) d`. The gradient goes
    through `w` as well, as in that code. With its beta of 0.001 `w` is 0.0005 for every pair: fine-tuning on the
    winners but for a thousandth; above 2 it begins by driving the policy off the winners.
    """

    needs_distance = True

    def __init__(self, schedule: NoiseSchedule, beta: float) -> None:
        self.beta = beta

    def __call__(self, errors: PairErrors) -> ObjectiveOutput:
        import torch

        margin, d = errors.margin, errors.distance
        if d is None or errors.reference_w is None:
            raise ValueError("DSPO needs the distance of policy and reference")
        sigmoid = torch.sigmoid(self.beta * 0.5 * margin)  # 1 - sigmoid(u), u = -beta 1/2 D
        w = self.beta * sigmoid
        loss = (1 - w) * errors.policy_w + w * errors.reference_w - w * (1 - w) * d
        w_slope = 0.5 * self.beta**2 * sigmoid * (1 - sigmoid)  # dw / dD
        by_w = errors.reference_w - errors.policy_w - (1 - 2 * w) * d
        return ObjectiveOutput(loss, None, (1 - w + w_slope * by_w).abs().detach())


LOSS = Loss(
    "dspo",
    "DSPO",
    "DSPO: the winners' score matched, away from the reference where a pair is not learned",
    DSPO,
    settings=("beta",),
    defaults={"beta": 0.001},
    colour="#997700",
    marker="x",
    line=(0, (1, 2)),
)
