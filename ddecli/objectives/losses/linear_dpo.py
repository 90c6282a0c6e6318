"""Linear-DPO (Li et al. 2026, arXiv 2605.21123): a weight that falls linearly as a pair is learned, and a reference
that follows the policy.

After its public code for SD1.5: `eta` 0.001, beta 100, a decay of 0.99 of those it tries (0.95, 0.99, 0.995). For SDXL
it has `eta` 0 and beta 500. Reconstructed: whether the decay is the same from the first step on, which is done here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ddecli.objectives.base import Objective, ObjectiveOutput, PairErrors
from ddecli.objectives.loss import Loss

if TYPE_CHECKING:
    from ddecli.diffusion.schedule import NoiseSchedule

ETA = 1e-3


class LinearDPO(Objective):
    """`L = w (e_theta^w - e_theta^l)`, `w = clamp(1/2 + 0.2 beta D(t), eta, 1 - eta)` without gradient.

    The reference is in `w` alone. The slope of `w` in `D(t)` is `0.2 beta`; that of Diffusion-DPO's gradient weight
    over `beta / 2` is `beta / 8` at the start, so a beta does not carry over.
    """

    def __init__(self, schedule: NoiseSchedule, beta: float) -> None:
        self.beta = beta

    def __call__(self, errors: PairErrors) -> ObjectiveOutput:
        weight = (0.5 + 0.2 * self.beta * errors.margin.detach()).clamp(ETA, 1 - ETA)
        assert errors.policy_l is not None  # or there is no margin
        return ObjectiveOutput(weight * (errors.policy_w - errors.policy_l), None, weight)


LOSS = Loss(
    "linear-dpo",
    "Linear-DPO",
    "Linear-DPO: a weight that falls linearly, and a reference that follows the policy (--reference-ema)",
    LinearDPO,
    paper="arXiv:2605.21123",
    settings=("beta",),
    defaults={"beta": 100.0, "reference_ema": 0.99},
    colour="#994455",
    marker="*",
    line=(0, (5, 2)),
)
