"""IPO (Azar et al. 2023, arXiv 2310.12036, Eq. 17) with Diffusion-DPO's margin: a squared link."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ddecli.objectives.loss import DPO_WEIGHT, Loss
from ddecli.objectives.losses.uniform import Uniform

if TYPE_CHECKING:
    from torch import Tensor


class IPO(Uniform):
    """`L = (z - 1/2)^2`, `z = -beta 1/2 D(t)`.

    IPO's `(h - 1 / (2 tau))^2` with `h = -D(t) / 2` and `tau = beta`, times `beta^2`, so that the loss begins at 1/4
    for every beta. Public code for diffusion leaves the 1/2 before `D(t)` out; a pair is learned where `z` is 1/2.
    """

    is_log_sigmoid = False

    def link(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """The squared distance to 1/2."""
        return (z - 0.5).square(), 2 * (z - 0.5)


LOSS = Loss(
    "ipo",
    "IPO",
    "IPO, a squared distance of the logit to 1/2: what is learned is not pushed on",
    IPO,
    paper="arXiv:2310.12036",
    settings=("beta",),
    mean_weight=DPO_WEIGHT,
    formula="1/2",
    colour="#AA4499",
    marker="p",
    line=(0, (3, 1)),
)
