"""Diffusion-KTO (Li et al. 2024, arXiv 2404.04465) on pairs: each picture is a sample with a label of its own.

The method takes single pictures that people like or do not. A pair gives one of each; its public code draws four
liked ones for one that is not, which pairs cannot give.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ddecli.core.errors import UserError
from ddecli.objectives.base import Objective, ObjectiveOutput, PairErrors
from ddecli.objectives.loss import Loss

if TYPE_CHECKING:
    from torch import Tensor

    from ddecli.diffusion.schedule import NoiseSchedule


class DiffusionKTO(Objective):
    """Mean over a pair's pictures of `1 - sigmoid(s beta (e_ref - e_theta - K))`, `s` 1 of the winner, -1 of the loser.

    `K`, at least 0, is how much better than the reference the policy draws pictures on the whole. Public code takes
    the mean of `e_ref - e_theta` over the pictures in hand, a number that depends on how a batch is cut; here it is
    that of the whole batch of the step before, 0 at first. Its other utilities than the sigmoid are left out, and so
    are weights of the two labels other than 1.
    """

    def __init__(self, schedule: NoiseSchedule, beta: float) -> None:
        import torch

        self.beta = beta
        self.baseline = torch.zeros((), dtype=torch.float64)  # K

    def __call__(self, errors: PairErrors) -> ObjectiveOutput:
        import torch

        gains = _gains(errors)
        signs = gains.new_tensor([[1.0], [-1.0]])
        value = torch.sigmoid(signs * self.beta * (gains - self.baseline.to(gains)))  # (2, B)
        slope = (self.beta * value * (1 - value) / 2)[0]
        return ObjectiveOutput((1 - value).mean(0), None, slope.detach())

    def observe(self, errors: PairErrors) -> None:
        """Takes `K` from a whole global batch."""
        self.baseline = _gains(errors).detach().cpu().double().mean().clamp(min=0)

    def state_dict(self) -> dict[str, Tensor]:
        """`baseline`, `K`."""
        return {"baseline": self.baseline.clone()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Takes `K` over. Raises UserError where there is none."""
        if "baseline" not in state:
            raise UserError("The checkpoint holds no baseline of kto: start the run again with --overwrite.")
        self.baseline = state["baseline"]


def _gains(errors: PairErrors) -> Tensor:
    """`e_ref - e_theta` of winners and losers, (2, B)."""
    import torch

    if errors.policy_l is None or errors.reference_w is None or errors.reference_l is None:
        raise ValueError("Diffusion-KTO needs the errors of both images under policy and reference")
    return torch.stack([errors.reference_w - errors.policy_w, errors.reference_l - errors.policy_l])


LOSS = Loss(
    "kto",
    "KTO",
    "Diffusion-KTO: each picture liked or not by itself; here those of a pair",
    DiffusionKTO,
    also=("diffusion-kto",),
    paper="arXiv:2404.04465",
    settings=("beta",),
    defaults={"beta": 1000.0},
    colour="#4477AA",
    marker="X",
    line=(0, (3, 2, 1, 2)),
)
