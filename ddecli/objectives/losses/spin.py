"""SPIN-Diffusion (Yuan et al. 2024, arXiv 2402.10210): Diffusion-DPO's loss, in a game of the model against itself.

The winners are the data's, the losers are drawn by the model of the iteration before, which is the reference too: see
`ddecli/selfplay`. This is its approximate objective, which noises the opponent's finished picture; the exact one keeps
its whole trajectory. Loss and settings are reconstructed from secondary text and model cards, which tell no beta: no
training code is public.
"""

from __future__ import annotations

from ddecli.objectives.loss import DPO_WEIGHT, Loss
from ddecli.objectives.losses.uniform import Uniform

LOSS = Loss(
    "spin",
    "SPIN",
    "SPIN-Diffusion: self-play, the data's preferred pictures against the model's own",
    Uniform,
    also=("spin-diffusion",),
    paper="arXiv:2402.10210",
    settings=("beta",),
    defaults={"pairs": "self-play", "iterations": 3},
    mean_weight=DPO_WEIGHT,
    formula="1/2",
    colour="#882255",
    marker="8",
    line=(0, (1, 1)),
)
