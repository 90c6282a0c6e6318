"""DDE with the single-shot estimate alone (an ablation of arXiv 2411.14871)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ddecli.objectives.base import PairObjective
from ddecli.objectives.loss import Loss

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from ddecli.diffusion.schedule import NoiseSchedule


class DDESingle(PairObjective):
    """`L = -log sigmoid(-beta 1/2 c_t D(t))`: the segment `x_T -> x_t` is left out."""

    def __init__(self, schedule: NoiseSchedule, beta: float) -> None:
        super().__init__(beta)
        self.schedule = schedule

    def weight(self, t: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """`1/2 c_t`."""
        return 0.5 * self.schedule.single_shot_weight(t, dtype)


LOSS = Loss(
    "dde-single",
    "DDE-Single",
    "DDE's single-shot estimate alone (ablation)",
    DDESingle,
    paper="arXiv:2411.14871",
    error_unit="noise",
    settings=("beta",),
    mean_weight=10.15,
    needs_snr=True,
    formula="c_t/2",
    colour="#009E73",
    marker="v",
    line=(0, (4, 2)),
)
