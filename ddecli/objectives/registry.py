"""The losses by name. Imports no torch."""

from __future__ import annotations

import importlib
import math
import pkgutil
import re
from typing import TYPE_CHECKING, Any

from ddecli.core.errors import UserError
from ddecli.core.segments import parse_segment
from ddecli.objectives import losses
from ddecli.objectives.base import PairObjective
from ddecli.objectives.loss import Loss

if TYPE_CHECKING:
    from torch import Tensor

    from ddecli.diffusion.schedule import NoiseSchedule
    from ddecli.diffusion.timesteps import TimestepSampler
    from ddecli.objectives.base import Objective


def _losses() -> dict[str, Loss]:
    """The `LOSS` of every file in `losses`, in the order of their papers."""
    files = [file.name for file in pkgutil.iter_modules(losses.__path__)]
    found = [importlib.import_module(f"{losses.__name__}.{name}").LOSS for name in files]
    return {loss.name: loss for loss in sorted(found, key=lambda loss: (loss.paper, loss.name))}


def known_loss(loss: str) -> Loss:
    """The loss of that name, or of one of its other names. Raises UserError, listing the choices, if there is none."""
    found = _find(loss)
    if found is None:
        raise UserError(f"Unknown loss {loss!r}; choose one of {', '.join(LOSSES)}.")
    return found


def has_beta(loss: object) -> bool:
    """Whether a loss, as a run.yaml names it, has a strength of the preference; one not known here is taken to."""
    known = _find(loss)
    return known is None or known.has_beta


def _find(loss: object) -> Loss | None:
    return next((each for name, each in LOSSES.items() if loss == name or loss in each.also), None)


def method_of(label: str) -> str:
    """The name of the loss that a label means, however spaced; of any other label its small letters and digits."""
    plain = _plain(label)
    return next((name for name, loss in LOSSES.items() if _plain(loss.label) == plain), plain)


def _plain(label: str) -> str:
    return re.sub(r"[^a-z0-9]", "", label.lower())


def build_objective(loss: str, schedule: NoiseSchedule, beta: float, **settings: Any) -> Objective:
    """The objective of a loss for a model's schedule; `beta` means the same for all of them.

    settings: of training; the loss takes those that it has.
    Raises UserError for an unknown loss, an impossible setting, or a schedule that the loss cannot work with.
    """
    known, settings = known_loss(loss), {"beta": beta} | settings
    if known.has_beta and not (math.isfinite(beta) and beta > 0):
        raise UserError(f"beta must be a number above 0, not {beta}.")
    if known.needs_snr and schedule.zero_terminal_snr and schedule.error_of == "epsilon":
        way_out = "use uniform or discounted"
        if schedule.prediction_type != "epsilon":
            way_out = "give --error native, where it can be formed, or " + way_out
        raise UserError(
            f"The loss {loss!r} cannot be used with this model: its last timestep has zero SNR, where by errors of the "
            f"noise the single-shot estimate does not exist and the step weight is infinite; {way_out}."
        )
    return known.objective(schedule, **{name: settings[name] for name in known.settings if name in settings})


def loss_weights(schedule: NoiseSchedule) -> dict[str, Tensor]:
    """The factor before `D(t)` at every timestep, (T,) float64, of every `-log sigmoid(z)`; infinite at zero SNR."""
    import torch

    t = torch.arange(schedule.num_timesteps)
    found = {name: loss.objective(schedule, beta=1.0) for name, loss in LOSSES.items() if loss.has_beta}
    return {
        name: objective.weight(t, torch.float64)
        for name, objective in found.items()
        if isinstance(objective, PairObjective) and objective.is_log_sigmoid
    }


def build_sampler(
    loss: str, T: int, segment: str | None = None, gamma: float = 0.9, K: int = 50
) -> TimestepSampler:
    """The timestep sampler of a loss, within a segment such as "0.3-0.4" if one is given.

    gamma, K: discount and number of reverse steps of `discounted`.
    Raises UserError for an unknown loss or an impossible setting.
    """
    from ddecli.diffusion.timesteps import TimestepSampler

    within = None if segment is None else parse_segment(segment)
    if known_loss(loss).timesteps == "discounted":
        return TimestepSampler.discounted(T, gamma, K, within)
    return TimestepSampler.uniform(T, within)


LOSSES: dict[str, Loss] = _losses()
