"""Robust DPO (Chowdhury et al. 2024, arXiv 2403.00409) with Diffusion-DPO's margin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ddecli.objectives.loss import DPO_WEIGHT, Loss
from ddecli.objectives.losses.cdpo import ConservativeDPO

if TYPE_CHECKING:
    from torch import Tensor


class RobustDPO(ConservativeDPO):
    """`L = (-(1 - s) log sigmoid(z) + s log sigmoid(-z)) / (1 - 2 s)`, `z = -beta 1/2 D(t)`.

    Over labels of which a share `s` is turned round its mean is the loss of Diffusion-DPO on the right ones.
    """

    def link(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """The loss whose mean over turned labels is that of right ones."""
        import torch
        import torch.nn.functional as F

        s = self.label_smoothing
        loss = (s * F.logsigmoid(-z) - (1 - s) * F.logsigmoid(z)) / (1 - 2 * s)
        return loss, -((1 - s) * torch.sigmoid(-z) + s * torch.sigmoid(z)) / (1 - 2 * s)


LOSS = Loss(
    "robust",
    "rDPO",
    "robust DPO: unbiased where a share of the labels (--label-smoothing) is turned round",
    RobustDPO,
    paper="arXiv:2403.00409",
    settings=("beta", "label_smoothing"),
    mean_weight=DPO_WEIGHT,
    formula="1/2",
    colour="#225555",
    marker="h",
    line=(0, (2, 2)),
)
