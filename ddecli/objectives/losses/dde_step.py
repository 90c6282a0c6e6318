"""DDE with stepwise estimates for both segments (an ablation of arXiv 2411.14871)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ddecli.objectives.corrected import CorrectedObjective
from ddecli.objectives.loss import Loss

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class DDEStep(CorrectedObjective):
    """`L = -log sigmoid(-beta (t lambda_t D(t) + C(t)))`, `t = 1..T` in the paper's numbering.

    The sampled step stands for the `t` steps of the segment `x_t -> x_0`: one sample of their mean, times
    their number. The paper's text does not fix this weight; the reading is ours.
    """

    def weight(self, t: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """`t lambda_t`."""
        return (t + 1) * self.schedule.step_weight(t, dtype)


LOSS = Loss(
    "dde-step",
    "DDE-Step",
    "DDE with stepwise estimates on both sides of t (ablation)",
    DDEStep,
    paper="arXiv:2411.14871",
    error_unit="noise",
    settings=("beta", "ema_decay", "correction_bins"),
    mean_weight=2.22,
    needs_snr=True,
    formula="t\\,\\lambda_t",
    colour="#CC79A7",
    marker="P",
    line=(0, (6, 1, 1.5, 1)),
)
