"""Models that were distilled to few sampling steps: latent consistency models, turbo models and their like.

They draw well with their own scheduler, in the few steps and with the guidance that they were distilled for, and badly
with any other. A model says what it is by its scheduler, or by a U-Net that takes the guidance as an input.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

CONSISTENCY = ("LCMScheduler", "TCDScheduler")
TURBO = ("EulerDiscreteScheduler", "EulerAncestralDiscreteScheduler")


@dataclass(frozen=True)
class FewSteps:
    """How such a model is sampled, by its authors' word.

    reason: what shows that it is one, to be printed after its name.
    """

    reason: str
    steps: int
    guidance_scale: float


def few_steps_of(pipeline: Any) -> FewSteps | None:
    """What a model of few steps asks for; None of a model that is sampled in many.

    * Latent consistency models (Luo et al. 2023): 4 steps; where the U-Net takes the guidance as an input 8, else none,
      which is a scale of 1.
    * Turbo models (Sauer et al. 2023: sd-turbo, sdxl-turbo) and others that begin at the last timestep ("trailing") and
      predict noise: 4 steps without guidance. Models of zero terminal SNR begin there too, but predict v.
    """
    scheduler = pipeline.scheduler
    kind = type(scheduler).__name__
    if takes_guidance(pipeline.unet):
        return FewSteps("its U-Net takes the guidance as an input", steps=4, guidance_scale=8.0)
    if kind in CONSISTENCY:
        return FewSteps(f"its scheduler is {kind}", steps=4, guidance_scale=1.0)
    trailing = scheduler.config.get("timestep_spacing") == "trailing"
    if kind in TURBO and trailing and scheduler.config.prediction_type == "epsilon":
        return FewSteps(f"its scheduler is {kind} with trailing timesteps", steps=4, guidance_scale=0.0)
    return None


def takes_guidance(unet: Any) -> bool:
    """Whether a U-Net has an input for the guidance scale, as distilled ones have (`time_cond_proj_dim`)."""
    return unet.config.get("time_cond_proj_dim") is not None
