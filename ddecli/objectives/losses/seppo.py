"""SePPO (Zhang et al. 2024, arXiv 2410.05255v1): Diffusion-DPO against pictures of the reference, judged by an anchor.

The winners are the data's; the other picture of a pair is drawn by the reference, a model of the run that was saved
earlier: see `ddecli/selfplay`. The anchor criterion asks, at the pair's one timestep and noise, whether the policy
draws the winner better than the reference does. Where it does, the reference's picture is a loser; where it does not,
the reference may be the better one, and its picture is learned as well.

Reconstructed from reviews and summaries, for no training code is public and the paper's formulas were not read: the
logit with the sign in it, the sign 0 where both draw the winner equally well (as in the first step), and no gradient
through it. Beta and learning rate are not known.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ddecli.objectives.base import ObjectiveOutput, PairErrors
from ddecli.objectives.loss import DPO_WEIGHT, Loss
from ddecli.objectives.losses.uniform import Uniform

if TYPE_CHECKING:
    from torch import Tensor

    from ddecli.diffusion.schedule import NoiseSchedule


class SePPO(Uniform):
    """`L = -log sigmoid(-beta 1/2 (d_w - s d_r))`, `d_w = e_theta^w - e_ref^w`, `d_r = e_theta^l - e_ref^l`.

    `l` is the reference's picture. `s` is the sign of `-d_w` (`push-pull`), or 1 where that is above 0 and else 0
    (`switch`), or 1 (`none`, without the criterion: Diffusion-DPO on these pairs).
    """

    takes_strengths = False

    def __init__(self, schedule: NoiseSchedule, beta: float, anchor: str = "push-pull") -> None:
        super().__init__(schedule, beta)
        self.anchor = anchor

    def sign(self, errors: PairErrors) -> Tensor:
        """`s` of each pair, (B,): 1 pushes the policy off the reference's picture, -1 pulls it there, 0 neither."""
        if errors.reference_w is None:
            raise ValueError("the anchor criterion needs the reference's error on the winner")
        gained = errors.reference_w - errors.policy_w.detach()
        if self.anchor == "none":
            return gained.new_ones(gained.shape)
        return gained.sign().clamp(min=0) if self.anchor == "switch" else gained.sign()

    def __call__(self, errors: PairErrors) -> ObjectiveOutput:
        if errors.policy_l is not None and errors.reference_l is not None:
            s = self.sign(errors)
            errors = replace(errors, policy_l=s * errors.policy_l, reference_l=s * errors.reference_l)
        return super().__call__(errors)


LOSS = Loss(
    "seppo",
    "SePPO",
    "SePPO: semi-policy, the preferred pictures and those of an earlier model, which an anchor has push or pull",
    SePPO,
    paper="arXiv:2410.05255",
    settings=("beta", "anchor"),
    defaults={"pairs": "semi-policy", "iterations": 7, "anchor": "push-pull"},
    mean_weight=DPO_WEIGHT,
    formula="1/2",
    colour="#117733",
    marker="+",
    line=(0, (4, 1, 2, 1)),
)
