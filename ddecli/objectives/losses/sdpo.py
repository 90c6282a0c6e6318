"""Diffusion-SDPO (Fu et al. 2025, arXiv 2511.03317): Diffusion-DPO whose loser never makes the winner worse."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ddecli.objectives.base import ObjectiveOutput, PairErrors
from ddecli.objectives.loss import DPO_WEIGHT, Loss
from ddecli.objectives.losses.uniform import Uniform

if TYPE_CHECKING:
    from torch import Tensor

    from ddecli.diffusion.schedule import NoiseSchedule


class SDPO(Uniform):
    """The loss of Diffusion-DPO, with the gradient of `e_theta^l` multiplied by `scale` (the paper's lambda).

    `g_w`, `g_l` are the gradients of the policy's two errors in its predictions. A step along `-g_w + scale g_l` leaves
    at least the share `mu` of the winner's descent where `scale <= (1 - mu) |g_w|^2 / (g_w . g_l)`; that is taken, at
    most 1, and 1 where the gradients do not point the same way. Public code forms one number for all pairs on a GPU;
    here it is each pair's own, which does not depend on how a batch is cut.
    """

    needs_overlap = True

    def __init__(self, schedule: NoiseSchedule, beta: float, winner_preserving: float = 0.9) -> None:
        super().__init__(schedule, beta)
        self.mu = winner_preserving

    def scale(self, errors: PairErrors) -> Tensor:
        """What the loser's gradient is multiplied by, (B,) in 0..1."""
        if errors.overlap is None:
            raise ValueError("Diffusion-SDPO needs the overlap of both images")
        # Both gradients are 2 / (C H W) times what the policy is off by.
        most = (1 - self.mu) * errors.policy_w.detach() / errors.overlap
        return most.clamp(max=1).where(errors.overlap > 0, most.new_ones(()))

    def __call__(self, errors: PairErrors) -> ObjectiveOutput:
        if errors.policy_l is not None:
            held = errors.policy_l.detach()
            errors = replace(errors, policy_l=held + self.scale(errors) * (errors.policy_l - held))
        return super().__call__(errors)


LOSS = Loss(
    "sdpo",
    "SDPO",
    "Diffusion-SDPO: Diffusion-DPO, the losers' part held back (--winner-preserving) where it harms the winners",
    SDPO,
    also=("diffusion-sdpo",),
    paper="arXiv:2511.03317",
    settings=("beta", "winner_preserving"),
    mean_weight=DPO_WEIGHT,
    formula="1/2",
    colour="#6699CC",
    marker="H",
    line=(0, (2, 1)),
)
