"""The losses by name: an objective with its way of drawing timesteps. Imports no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ddecli.core.errors import UserError
from ddecli.core.segments import parse_segment

if TYPE_CHECKING:
    from ddecli.diffusion.schedule import NoiseSchedule
    from ddecli.diffusion.timesteps import TimestepSampler
    from ddecli.objectives.base import Objective


@dataclass(frozen=True)
class LossPreset:
    """What `--loss NAME` stands for; `summary` is one line for the help text.

    error_unit: in which errors are formed if nothing else is asked for. Fine-tuning and Diffusion-DPO are public code,
    which takes the error of what the model predicts; DDE is derived for errors of the noise, and in them stays what
    its paper says.
    """

    objective: Literal["sft", "uniform", "dde", "dde-single", "dde-step"]
    timesteps: Literal["uniform", "discounted"]
    error_unit: Literal["noise", "native"]
    summary: str


LOSSES: dict[str, LossPreset] = {
    "sft": LossPreset("sft", "uniform", "native", "supervised fine-tuning on the preferred images"),
    "uniform": LossPreset(
        "uniform", "uniform", "native", "Diffusion-DPO, the same credit for every timestep"
    ),
    "discounted": LossPreset(
        "uniform",
        "discounted",
        "native",
        "Diffusion-DPO with timesteps near noise drawn more often (Yang et al. 2024)",
    ),
    "dde": LossPreset(
        "dde", "uniform", "noise", "DDE, single-shot estimate below t, stepwise correction above it"
    ),
    "dde-single": LossPreset("dde-single", "uniform", "noise", "DDE's single-shot estimate alone (ablation)"),
    "dde-step": LossPreset(
        "dde-step", "uniform", "noise", "DDE with stepwise estimates on both sides of t (ablation)"
    ),
}


def loss_preset(loss: str) -> LossPreset:
    """The preset of that name. Raises UserError, listing the choices, if there is none."""
    if loss not in LOSSES:
        raise UserError(f"Unknown loss {loss!r}; choose one of {', '.join(LOSSES)}.")
    return LOSSES[loss]


def build_objective(
    loss: str,
    schedule: NoiseSchedule,
    beta: float,
    ema_decay: float = 0.95,
    correction_bins: int | None = None,
) -> Objective:
    """The objective of a loss for a model's schedule; `beta` means the same for all of them.

    ema_decay, correction_bins: of the delayed table (`dde`, `dde-step`); default one bin a timestep.
    Raises UserError for an unknown loss, an impossible setting, or a schedule that the loss cannot work with.
    """
    from ddecli.objectives.dde import DDE
    from ddecli.objectives.dde_single import DDESingle
    from ddecli.objectives.dde_step import DDEStep
    from ddecli.objectives.delayed_table import DelayedTable
    from ddecli.objectives.sft import SFT
    from ddecli.objectives.uniform import Uniform

    name = loss_preset(loss).objective
    if name == "sft":
        return SFT()
    if not (math.isfinite(beta) and beta > 0):
        raise UserError(f"beta must be a number above 0, not {beta}.")
    if name == "uniform":
        return Uniform(beta)
    if schedule.zero_terminal_snr and schedule.error_of == "epsilon":
        way_out = "use uniform or discounted"
        if schedule.prediction_type != "epsilon":
            way_out = "give --error native, where it can be formed, or " + way_out
        raise UserError(
            f"The loss {loss!r} cannot be used with this model: its last timestep has zero SNR, where by errors of the "
            f"noise the single-shot estimate does not exist and the step weight is infinite; {way_out}."
        )
    if name == "dde-single":
        return DDESingle(schedule, beta)
    if correction_bins is not None and correction_bins > schedule.num_timesteps:
        raise UserError(
            f"correction_bins {correction_bins} are more than the model's {schedule.num_timesteps} timesteps."
        )
    table = DelayedTable(schedule, ema_decay, correction_bins)
    return DDEStep(schedule, beta, table) if name == "dde-step" else DDE(schedule, beta, table)


def build_sampler(
    loss: str, T: int, segment: str | None = None, gamma: float = 0.9, K: int = 50
) -> TimestepSampler:
    """The timestep sampler of a loss, within a segment such as "0.3-0.4" if one is given.

    gamma, K: discount and number of reverse steps of `discounted`.
    Raises UserError for an unknown loss or an impossible setting.
    """
    from ddecli.diffusion.timesteps import TimestepSampler

    within = None if segment is None else parse_segment(segment)
    if loss_preset(loss).timesteps == "discounted":
        return TimestepSampler.discounted(T, gamma, K, within)
    return TimestepSampler.uniform(T, within)
