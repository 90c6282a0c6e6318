"""How a model is sampled: DDIM, or a model of few steps with its own scheduler; and what is not asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from diffusers import DDIMScheduler

from ddecli.core.errors import UserError
from ddecli.core.protocol import DDIM
from ddecli.diffusion.schedule import NoiseSchedule
from ddecli.models.base import DiffusionModel
from ddecli.models.few_steps import CONSISTENCY, few_steps_of, takes_guidance

Spacing = Literal["leading", "trailing"]
TRAILING = "trailing"


@dataclass(frozen=True)
class Sampler:
    """A scheduler, how many steps it takes, and the strength of classifier-free guidance.

    name: as protocol.json says it.
    reason: why it is not DDIM; None where it is.
    spacing: how DDIM's timesteps are spaced, a diffusers `timestep_spacing`; None where it is not DDIM.
    """

    name: str
    scheduler: Any
    steps: int
    guidance_scale: float
    reason: str | None = None
    spacing: str | None = None


def default_steps(model: DiffusionModel) -> int:
    """DDIM steps when none are asked for: 15 in the tiny world, else 50."""
    return 15 if model.is_tiny else 50


def default_guidance_scale(model: DiffusionModel) -> float:
    """Guidance when none is asked for: 5 in the tiny world, else what the family's pipeline takes."""
    return 5.0 if model.is_tiny else model.guidance_scale


def sampler_of(
    model: DiffusionModel,
    steps: int | None = None,
    guidance_scale: float | None = None,
    spacing: Spacing | None = None,
) -> Sampler:
    """The sampler of a model.

    Args:
        steps: as asked for, or None for what suits the model; so `guidance_scale`.
        spacing: of DDIM's timesteps: `leading` never visits the last ones before T, where training does; `trailing`
            begins at T - 1. None for what the model's own scheduler says.

    Raises:
        UserError: the model was trained on another schedule than DDIM's, takes guidance and has no scheduler for it, or
            its sampler does not take that many steps or another spacing.
    """
    few, trained = few_steps_of(model.pipeline), model.pipeline.scheduler
    if few is None:
        default, guidance = default_steps(model), default_guidance_scale(model)
        name, scheduler = DDIM, _ddim(trained, spacing)
    else:
        if spacing is not None:
            raise UserError(
                f"--spacing {spacing}: this model was made for few steps ({few.reason}), and its own scheduler spaces "
                "them; leave the option out."
            )
        default, guidance = few.steps, few.guidance_scale
        name, scheduler = f"{type(trained).__name__} (the model's own)", trained
        if takes_guidance(model.unet) and type(scheduler).__name__ not in CONSISTENCY:
            raise UserError(
                f"The U-Net takes the guidance as an input, as latent consistency models do, and the scheduler is "
                f"{type(scheduler).__name__}: put the configuration of an LCMScheduler into the model's folder "
                "scheduler/, and name it in model_index.json."
            )
    sampler = Sampler(
        name,
        scheduler,
        default if steps is None else steps,
        guidance if guidance_scale is None else guidance_scale,
        few.reason if few else None,
        None if few else str(scheduler.config.timestep_spacing),
    )
    _check_steps(sampler)
    return sampler


def _check_steps(sampler: Sampler) -> None:
    """Refuse more steps than the schedule has timesteps, or the model was distilled from, or a step behind its end."""
    schedule, steps = sampler.scheduler.config, sampler.steps
    most = T = schedule.num_train_timesteps
    if type(sampler.scheduler).__name__ in CONSISTENCY:
        most = schedule.original_inference_steps
    elif schedule.timestep_spacing == "leading":
        most -= schedule.steps_offset
    if steps > most:
        raise UserError(
            f"--steps {steps}: the schedule of this model has {T} timesteps; give at most {most} steps."
        )
    if sampler.spacing == TRAILING and not _is_whole(sampler.scheduler, steps):
        fewer = next(each for each in range(steps - 1, 0, -1) if _is_whole(sampler.scheduler, each))
        raise UserError(
            f"--steps {steps}: with trailing timesteps diffusers rounds so many steps wrongly, to one more at timestep "
            f"-1, which there is not; give {fewer} steps."
        )


def _is_whole(ddim: DDIMScheduler, steps: int) -> bool:
    """Whether DDIM makes as many timesteps as it is asked for: 61 of 1000, 100 / 6.1 apart, are 62 by rounding."""
    ddim.set_timesteps(steps)
    return len(ddim.timesteps) == steps


def last_timestep(trained: Any, steps: int, spacing: str | None) -> int:
    """The largest timestep that DDIM visits in so many steps on the schedule of a scheduler.

    Raises:
        UserError: DDIM has no such schedule.
    """
    ddim = _ddim(trained, spacing)
    ddim.set_timesteps(steps)
    return int(ddim.timesteps.max())


def _ddim(trained: Any, spacing: str | None) -> DDIMScheduler:
    """DDIM on the schedule of the scheduler that a model was trained with, and its `steps_offset` for leading steps."""
    # A schedule saved for another sampler may lack clip_sample, and DDIM would then clip the latents.
    asked = {} if spacing is None else {"timestep_spacing": spacing}
    ddim = DDIMScheduler.from_config(trained.config, clip_sample=False, thresholding=False, **asked)
    schedule = NoiseSchedule.from_scheduler(trained).alphas_cumprod
    if len(schedule) != len(ddim.alphas_cumprod) or not torch.allclose(
        ddim.alphas_cumprod.double(), schedule, rtol=1e-4, atol=1e-6
    ):
        raise UserError(
            f"The noise schedule of {type(trained).__name__} is none that DDIM has, which samples here: give the "
            "model a scheduler/scheduler_config.json of DDIM or PNDM with the betas it was trained with."
        )
    return ddim
