"""`--beta auto`: a beta that is set by what it does, the share of the gradient that is left at a typical margin.

The slope of a link, `|dL/dz|`, falls as a pair is learned: at `z = -beta weight(t) D(t)` it is the share `s` of what it
is at 0 where `z = z(s)`; for `-log sigmoid` that is `log((2 - s) / s)`. Beta is `z(s)` over a typical
`|weight(t) D(t)|`.

Before the first step policy and reference are one, and every margin is 0. What can be measured are the reference's
errors on the two pictures of a pair. The typical margin is the mean of `|weight(t) (e_ref^w - e_ref^l)|` over some
draws, the same for every seed, as trainings of a row differ in nothing else: `D(t)` is as large where the policy has
changed the errors of a pair by as much as they differ to begin with. It goes with all that keeps a beta from carrying
over: the unit of the errors, the resolution, the model, the data, the timesteps that are drawn, and the loss's weight.
It does not know how far a training gets, by its rate and steps: a policy that stays closer to the reference keeps more
of the gradient than `s`. Corrections of DDE, 0 at first, and the strengths of soft labels are not in it.

Measured in the tiny world, whose grids chose the betas of recipes.yaml: with `s = 1/2` it comes to 71 for uniform (72
for tiny-xl; chosen: 80 and 80), 23 for dde (23; chosen: 20 and 5), 29 for dde-step (chosen: 20) and 250 for discounted
(250; chosen: 20 and 20). After the 80 steps of the recipes the mean of `|weight D|` was 0.42 (uniform) and 0.37 (dde)
of the typical margin. Over three sets of 512 draws the beta of uniform went from 65 to 80.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ddecli.core.console import console
from ddecli.core.errors import UserError
from ddecli.objectives.base import PairObjective
from ddecli.training.errors import errors_by_row
from ddecli.training.inputs import open_batches
from ddecli.training.opened import Opened

DRAWS = 512
"""How many are looked at, whatever a run makes: a longer one has the same beta."""
SEED = -2
"""Of these draws, which no run has."""
LARGEST = 64.0
"""A `z` at which every slope that falls has fallen."""


def measured_beta(trainer: Opened, share: float) -> float:
    """The beta of a run, of two digits. Every process has to call it; all get the same.

    Raises:
        UserError: the share is never reached, or there is no typical margin.
    """
    objective = trainer.objective
    assert isinstance(objective, PairObjective)
    z, margin = logit_at(objective, share), _typical_margin(trainer, objective)
    beta = z / margin if margin > 0 else math.inf
    if not (math.isfinite(beta) and beta > 0):
        raise UserError(
            f"--beta auto: the reference's errors on both pictures of a pair differ by {margin:g} on {DRAWS} draws, "
            "and no beta can be set by that; give --beta a number."
        )
    beta = float(f"{beta:.1e}")  # rounding leaves no trace in it
    if trainer.is_main:
        console.print(
            f"beta {beta:g}: it leaves {share:.0%} of the gradient where the margin is {margin:.3g}, by which the "
            "reference's errors on two pictures differ."
        )
    return beta


def logit_at(objective: PairObjective, share: float) -> float:
    """The smallest `z` above 0 at which the slope of the link is at most this share of what it is at 0.

    Raises:
        UserError: it never falls that far.
    """

    def slope(z: float) -> float:
        return -float(objective.link(torch.tensor(z, dtype=torch.float64))[1])

    wanted, low, high = share * slope(0.0), 0.0, LARGEST
    if slope(high) > wanted:
        raise UserError(
            f"--beta-share {share:g}: the gradient of this loss never falls below {slope(high) / slope(0.0):.2g} of "
            "what it is at first; give a larger share."
        )
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) > wanted else (low, middle)
    return high


def _typical_margin(trainer: Opened, objective: PairObjective) -> float:
    """Mean of `|weight(t) (e_ref^w - e_ref^l)|`."""
    accelerator, size = trainer.accelerator, trainer.settings.micro_batch
    assert trainer.reference is not None
    settings = trainer.settings.model_copy(update={"seed": SEED, "labels": "hard"})
    batches = open_batches(settings, trainer.model, trainer.store, accelerator.device)
    mine = math.ceil(DRAWS / accelerator.num_processes)  # as many on each process: some too many
    first = mine * accelerator.process_index
    terms = []
    for start in range(first, first + mine, size):
        batch = batches(range(start, min(start + size, first + mine)))
        with torch.no_grad(), trainer.reference.as_reference():
            winner, loser = errors_by_row(trainer.reference, batch, trainer.autocast()).double().chunk(2)
        weight = objective.weight(batch.t.chunk(2)[0], torch.float64)
        terms.append((weight * (winner - loser)).abs())
    found: Tensor = accelerator.gather(torch.cat(terms))  # one process after the other
    return found[:DRAWS].mean().item()
