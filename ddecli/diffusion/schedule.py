"""The noise schedule: noising, errors, and the weights of the two estimates of DDE (arXiv 2411.14871).

`t` is a diffusers index, 0..T-1; the paper's step is `k = t + 1`, and `abar_0 = 1`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, cast, get_args

import torch
from torch import Tensor

from ddecli.core.errors import UserError

PredictionType = Literal["epsilon", "v_prediction", "sample"]
ErrorUnit = Literal["noise", "native"]

# What some schedulers store as the last `alphas_cumprod` when they are rescaled to zero terminal SNR.
_ZERO_ALPHA_CUMPROD = 2.0**-24


@dataclass(frozen=True, eq=False)
class NoiseSchedule:
    """The forward process `x_k = sqrt(abar_k) x_0 + sqrt(1 - abar_k) eps` (Eq. 1-2) of a trained model.

    alphas_cumprod: (T,) float64, strictly decreasing from below 1 to 0 at the least.
    prediction_type: what the model predicts: the noise, v (Salimans & Ho 2022) or the clean latent.
    error_unit: whose errors are formed: of the noise that a prediction stands for, or of the prediction itself
        (native). A noise error is `abar_t` times the error of v, and `abar_t / (1 - abar_t)` times that of the clean
        latent. The weights of DDE follow: weight times error is the same number in both units.

    Everything derived from `alphas_cumprod` is computed in float64 and rounded once, when it is looked up.
    Raises UserError for a schedule or prediction type that these formulas do not describe.
    """

    alphas_cumprod: Tensor
    prediction_type: PredictionType = "epsilon"
    error_unit: ErrorUnit = "noise"

    def __post_init__(self) -> None:
        if self.prediction_type not in get_args(PredictionType):
            raise UserError(
                f"The prediction type {self.prediction_type!r} of the model's scheduler is not supported; "
                f"choose a model that predicts {', '.join(get_args(PredictionType))}."
            )
        alphas_cumprod = torch.as_tensor(self.alphas_cumprod).detach().to("cpu", torch.float64)
        if alphas_cumprod.ndim != 1 or len(alphas_cumprod) < 2:
            shape = tuple(alphas_cumprod.shape)
            raise UserError(
                f"A noise schedule needs at least two timesteps in one row, not the shape {shape}."
            )
        differences = alphas_cumprod.diff(prepend=torch.ones(1, dtype=torch.float64))
        if not (bool((differences < 0).all()) and float(alphas_cumprod[-1]) >= 0):
            raise UserError(
                "The scheduler's alphas_cumprod must fall strictly from below 1 to no less than 0; "
                "use the scheduler that the model was trained with."
            )
        object.__setattr__(self, "alphas_cumprod", alphas_cumprod)

    @classmethod
    def from_scheduler(cls, scheduler: Any) -> NoiseSchedule:
        """The training schedule of any diffusers scheduler that has `alphas_cumprod`.

        Raises:
            UserError: a scheduler of EDM or flow models, which noise in another way, or one of a continuous time.
        """
        alphas_cumprod = getattr(scheduler, "alphas_cumprod", None)
        kind, config = type(scheduler).__name__, scheduler.config
        if alphas_cumprod is None:
            reason = f"{kind} has no alphas_cumprod"
        elif config.get("timestep_type") == "continuous" or config.get("use_flow_sigmas"):
            reason = f"{kind} is set to continuous timesteps or to a flow"
        else:
            return cls(alphas_cumprod, config.get("prediction_type", "epsilon"))
        raise UserError(
            f"{reason}: only models trained with a discrete diffusion schedule (SD15, SDXL) can be trained and sampled."
        )

    @property
    def num_timesteps(self) -> int:
        """`T`."""
        return len(self.alphas_cumprod)

    @property
    def error_of(self) -> PredictionType:
        """Whose errors are formed: `epsilon`, or in the native unit what the model predicts."""
        return self.prediction_type if self.error_unit == "native" else "epsilon"

    @property
    def zero_terminal_snr(self) -> bool:
        """Whether the last timestep is pure noise, where noise errors say nothing of the clean latent."""
        return float(self.alphas_cumprod[-1]) <= _ZERO_ALPHA_CUMPROD

    @cached_property
    def to_noise_errors(self) -> Tensor:
        """What turns an error in `error_unit` into an error of the noise, at every timestep, (T,) float64.

        0 at a last timestep of zero SNR, where all of `x_t` is noise and its error says nothing.
        """
        if self.error_of == "epsilon":
            return torch.ones_like(self.alphas_cumprod)
        abar = self.alphas_cumprod.clone()
        if self.zero_terminal_snr:
            abar[-1] = 0
        return abar if self.error_of == "v_prediction" else abar / (1 - abar)

    @cached_property
    def single_shot_weights(self) -> Tensor:
        """`c_t` of every timestep, (T,) float64: `||x_0 - x0_hat||^2` is `c_t` times the squared error.

        x0_hat is DDIM's jump from `x_t` to `x_0`. For errors of the noise `c_t = (1 - abar_t) / abar_t = 1 / SNR(t)`,
        of v `1 - abar_t`, of the clean latent 1.
        """
        if self.error_of == "v_prediction":
            return 1 - self.alphas_cumprod
        if self.error_of == "sample":
            return torch.ones_like(self.alphas_cumprod)
        return (1 - self.alphas_cumprod) / self.alphas_cumprod

    @cached_property
    def step_weights(self) -> Tensor:
        """`lambda_k` of every timestep, (T,) float64: `log r_k = -lambda_k e_k` (stepwise estimation).

        `r_k = p_theta(x_{k-1} | x_k) / q(x_{k-1} | x_k, x_0)` at the mean of `q`; both Gaussians have the
        posterior variance, so for errors of the noise `lambda_k = beta_k / (2 alpha_k (1 - abar_{k-1}))`, the
        weight in the variational bound.
        """
        abar = self.alphas_cumprod
        abar_previous = torch.cat([torch.ones(1, dtype=torch.float64), abar[:-1]])
        alpha = abar / abar_previous
        beta = 1 - alpha
        posterior_variance = beta * (1 - abar_previous) / (1 - abar)
        posterior_variance[0] = posterior_variance[1]  # it is 0 at k = 1, no density: clipped, as in DDPM
        if self.error_of == "epsilon":
            mean_gap = beta**2 / (
                alpha * (1 - abar)
            )  # ||mu_q - mu_theta||^2 = mean_gap ||eps - eps_theta||^2
        else:  # the same by way of ||x_0 - x0_hat||^2, which has no alpha to divide by: it is 0 at zero SNR
            mean_gap = abar_previous * (beta / (1 - abar)) ** 2 * self.single_shot_weights
        return mean_gap / (2 * posterior_variance)

    @cached_property
    def signal_scales(self) -> Tensor:
        """`sqrt(abar_t)` of every timestep, (T,) float64."""
        return self.alphas_cumprod.sqrt()

    @cached_property
    def noise_scales(self) -> Tensor:
        """`sqrt(1 - abar_t)` of every timestep, (T,) float64."""
        return (1 - self.alphas_cumprod).sqrt()

    def single_shot_weight(self, t: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """`c_t`, see `single_shot_weights`. t: (B,) -> (B,) float32, or of the precision that is asked for."""
        return self._look_up("single_shot_weights", t, dtype or torch.float32)

    def step_weight(self, t: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """`lambda_k` with `k = t + 1`, see `step_weights`. t: (B,) -> (B,) float32, or of the precision asked for."""
        return self._look_up("step_weights", t, dtype or torch.float32)

    def add_noise(self, x0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """The noisy latents `x_t` (Eq. 2). x0, eps: (B, C, H, W); t: (B,) -> (B, C, H, W) float32."""
        x0, eps = _at_least_float32(x0), _at_least_float32(eps)
        signal, noise = self._signal_and_noise_scale(t, x0)
        return signal * x0 + noise * eps

    def noise_prediction(self, prediction: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """The noise that the model's output stands for. prediction, x_t: (B, C, H, W) -> same, float32."""
        prediction, x_t = _at_least_float32(prediction), _at_least_float32(x_t)
        signal, noise = self._signal_and_noise_scale(t, x_t)
        if self.prediction_type == "v_prediction":
            return signal * prediction + noise * x_t
        if self.prediction_type == "sample":
            return (x_t - signal * prediction) / noise
        return prediction

    def target(self, x0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """What the model should predict. x0, eps: (B, C, H, W); t: (B,) -> (B, C, H, W) float32."""
        x0, eps = _at_least_float32(x0), _at_least_float32(eps)
        if self.prediction_type == "v_prediction":
            signal, noise = self._signal_and_noise_scale(t, x0)
            return signal * eps - noise * x0
        return x0 if self.prediction_type == "sample" else eps

    def residual(self, prediction: Tensor, x0: Tensor, x_t: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """What a prediction is off by, in `error_unit`: (B, C, H, W) float32. The mean of its square is the error."""
        if self.error_of == "epsilon":
            return _at_least_float32(eps) - self.noise_prediction(prediction, x_t, t)
        return self.target(x0, eps, t) - _at_least_float32(prediction)

    def error(self, prediction: Tensor, x0: Tensor, x_t: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """`e`, the mean over C, H, W of the squared error in `error_unit`: (B,) float32, see `noise_error`."""
        return mean_square(self.residual(prediction, x0, x_t, eps, t))

    def noise_error(self, prediction: Tensor, x_t: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """`e = mean((eps - eps_theta)^2)` over C, H, W: one number a sample, formed in float32.

        prediction, x_t, eps: (B, C, H, W) in any precision; t: (B,) -> (B,) float32 (float64 inputs stay so).
        """
        return mean_square(_at_least_float32(eps) - self.noise_prediction(prediction, x_t, t))

    def _signal_and_noise_scale(self, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """`sqrt(abar_t)` and `sqrt(1 - abar_t)`, shaped to multiply `like`: (B, 1, 1, 1)."""
        shape = (-1,) + (1,) * (like.ndim - 1)
        signal = self._look_up("signal_scales", t, like.dtype).view(shape)
        noise = self._look_up("noise_scales", t, like.dtype).view(shape)
        return signal, noise

    @cached_property
    def _copies(self) -> dict[tuple[str, torch.dtype, torch.device], Tensor]:
        """Tables by name, precision and device."""
        return {}

    def _look_up(self, table: str, t: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """Entries `t` of a (T,) table, on the device of `t`.

        The table is copied there once: a copy waits until a GPU has done all that it was asked for before.
        """
        key = (table, dtype, t.device)
        if key not in self._copies:
            self._copies[key] = getattr(self, table).to(dtype).to(t.device)
        return self._copies[key][t]


def mean_square(x: Tensor) -> Tensor:
    """The mean over all but the first dimension, (B, ...) -> (B,)."""
    return x.square().flatten(1).mean(1)


def _at_least_float32(x: Tensor) -> Tensor:
    """Half precision becomes float32, in which all errors are formed; float32 and float64 stay."""
    return cast(Tensor, x if x.dtype == torch.float64 else x.float())
