"""Conservative DPO: a share of the labels is taken to be wrong, and no pair is learned for certain.

E. Mitchell, "A note on DPO with noisy preferences" (2023); `label_smoothing` of TRL's DPO. With Diffusion-DPO's margin.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ddecli.objectives.loss import DPO_WEIGHT, Loss
from ddecli.objectives.losses.uniform import Uniform

if TYPE_CHECKING:
    from torch import Tensor

    from ddecli.diffusion.schedule import NoiseSchedule


class ConservativeDPO(Uniform):
    """`L = -(1 - s) log sigmoid(z) - s log sigmoid(-z)`, `z = -beta 1/2 D(t)`, least at `sigmoid(z) = 1 - s`."""

    is_log_sigmoid = False

    def __init__(self, schedule: NoiseSchedule, beta: float, label_smoothing: float = 0.1) -> None:
        super().__init__(schedule, beta)
        self.label_smoothing = label_smoothing

    def link(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """The cross-entropy with a label of `1 - s`."""
        import torch
        import torch.nn.functional as F

        s = self.label_smoothing
        return -(1 - s) * F.logsigmoid(z) - s * F.logsigmoid(-z), torch.sigmoid(z) - (1 - s)


LOSS = Loss(
    "cdpo",
    "cDPO",
    "conservative DPO: a share of the labels (--label-smoothing) is taken to be wrong",
    ConservativeDPO,
    settings=("beta", "label_smoothing"),
    mean_weight=DPO_WEIGHT,
    formula="1/2",
    colour="#44BB99",
    marker=">",
    line=(0, (5, 1, 1, 1)),
)
