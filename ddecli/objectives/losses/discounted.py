"""Diffusion-DPO with timesteps near noise drawn more often (Yang et al. 2024, arXiv 2402.08265)."""

from __future__ import annotations

from ddecli.objectives.loss import DPO_WEIGHT, Loss
from ddecli.objectives.losses.uniform import Uniform

LOSS = Loss(
    "discounted",
    "Disc",
    "Diffusion-DPO with timesteps near noise drawn more often (Yang et al. 2024)",
    Uniform,
    paper="arXiv:2402.08265",
    timesteps="discounted",
    settings=("beta",),
    mean_weight=DPO_WEIGHT,
    formula="1/2",
    colour="#56B4E9",
    marker="^",
    line=(0, (4, 1.2)),
)
