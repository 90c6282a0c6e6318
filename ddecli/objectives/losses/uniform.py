"""Uniform credit for every timestep: Diffusion-DPO (Wallace et al. 2023), Eq. 12 of arXiv 2411.14871."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ddecli.objectives.base import PairObjective
from ddecli.objectives.loss import DPO_WEIGHT, Loss

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from ddecli.diffusion.schedule import NoiseSchedule


class Uniform(PairObjective):
    """`L = -log sigmoid(-beta 1/2 D(t))`."""

    def __init__(self, schedule: NoiseSchedule, beta: float) -> None:
        super().__init__(beta)

    def weight(self, t: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """`1/2`."""
        import torch

        return torch.full(t.shape, DPO_WEIGHT, dtype=dtype or torch.float32, device=t.device)


LOSS = Loss(
    "uniform",
    "Uni",
    "Diffusion-DPO, the same credit for every timestep",
    Uniform,
    also=("dpo", "diffusion-dpo"),
    paper="arXiv:2311.12908",
    settings=("beta",),
    mean_weight=DPO_WEIGHT,
    formula="1/2",
    colour="#E69F00",
    marker="s",
)
