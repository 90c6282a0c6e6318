"""The hinge loss of SLiC-HF (Zhao et al. 2023, arXiv 2305.10425) with Diffusion-DPO's margin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ddecli.objectives.loss import DPO_WEIGHT, Loss
from ddecli.objectives.losses.uniform import Uniform

if TYPE_CHECKING:
    from torch import Tensor


class Hinge(Uniform):
    """`L = max(0, 1 - z)`, `z = -beta 1/2 D(t)`: as steep for every pair until `z` is 1, then nothing."""

    is_log_sigmoid = False

    def link(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """The part of `z` that is missing to 1."""
        return (1 - z).relu(), -(z < 1).to(z.dtype)


LOSS = Loss(
    "hinge",
    "Hinge",
    "the hinge loss of SLiC: all pairs alike until their logit is 1",
    Hinge,
    paper="arXiv:2305.10425",
    settings=("beta",),
    mean_weight=DPO_WEIGHT,
    formula="1/2",
    colour="#DDCC77",
    marker="<",
    line=(0, (1, 1)),
)
