"""The schedule against diffusers, the paper's densities (scipy) and published values."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from diffusers import DDIMScheduler, DDPMScheduler, EulerDiscreteScheduler, FlowMatchEulerDiscreteScheduler
from scipy.stats import norm

from ddecli.core.errors import UserError
from ddecli.diffusion.schedule import NoiseSchedule

SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
SOME_T = torch.tensor([0, 1, 10, 100, 300, 500, 777, 998, 999])


@pytest.fixture(scope="module")
def scheduler() -> DDPMScheduler:
    return DDPMScheduler(**SD)


@pytest.fixture(scope="module")
def schedule(scheduler: DDPMScheduler) -> NoiseSchedule:
    return NoiseSchedule.from_scheduler(scheduler)


def latents(seed: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(len(SOME_T), 4, 3, 2, generator=generator, dtype=dtype)


def test_noising_and_velocity_agree_with_diffusers(scheduler: DDPMScheduler, schedule: NoiseSchedule) -> None:
    x0, eps = latents(1), latents(2)
    x_t = schedule.add_noise(x0, eps, SOME_T)
    torch.testing.assert_close(x_t, scheduler.add_noise(x0, eps, SOME_T), rtol=1e-5, atol=1e-6)

    velocity = scheduler.get_velocity(x0, eps, SOME_T)
    v_schedule = NoiseSchedule(schedule.alphas_cumprod, "v_prediction")
    recovered = v_schedule.noise_prediction(velocity, x_t, SOME_T)
    torch.testing.assert_close(recovered, eps, rtol=1e-5, atol=1e-5)
    assert v_schedule.noise_error(velocity, x_t, eps, SOME_T).max() < 1e-10


def test_sample_prediction_agrees_with_diffusers(scheduler: DDPMScheduler, schedule: NoiseSchedule) -> None:
    """DDIM's step to the end, fed with our noise prediction, gives the model's own clean latents back."""
    x0_hat, x_t = latents(3, torch.float64), latents(4, torch.float64)
    eps_hat = NoiseSchedule(schedule.alphas_cumprod, "sample").noise_prediction(x0_hat, x_t, SOME_T)
    ddim = DDIMScheduler(**SD, clip_sample=False)
    ddim.set_timesteps(1000)
    for i, t in enumerate(SOME_T):
        step = ddim.step(eps_hat[i : i + 1], int(t), x_t[i : i + 1])
        torch.testing.assert_close(step.pred_original_sample, x0_hat[i : i + 1], rtol=1e-5, atol=1e-5)


def test_every_prediction_type_gives_the_same_noise_error(schedule: NoiseSchedule) -> None:
    x0, eps, eps_hat = (latents(seed, torch.float64) for seed in (5, 6, 7))
    abar = schedule.alphas_cumprod[SOME_T].view(-1, 1, 1, 1)
    x_t = abar.sqrt() * x0 + (1 - abar).sqrt() * eps
    x0_hat = (x_t - (1 - abar).sqrt() * eps_hat) / abar.sqrt()
    v_hat = abar.sqrt() * eps_hat - (1 - abar).sqrt() * x0_hat

    expected = torch.tensor([float(((e - h) ** 2).mean()) for e, h in zip(eps, eps_hat, strict=True)])
    for kind, prediction in {"epsilon": eps_hat, "v_prediction": v_hat, "sample": x0_hat}.items():
        error = NoiseSchedule(schedule.alphas_cumprod, kind).noise_error(prediction, x_t, eps, SOME_T)
        torch.testing.assert_close(error, expected.double(), rtol=1e-6, atol=0)


KINDS = ("epsilon", "v_prediction", "sample")


@pytest.mark.parametrize("kind", KINDS[:2])
def test_native_errors_are_those_of_the_public_scripts(kind: str, scheduler: DDPMScheduler) -> None:
    """diffusers' training scripts: mse_loss to the noise, or to the scheduler's velocity."""
    x0, eps, prediction = latents(20), latents(21), latents(22)
    native = NoiseSchedule(scheduler.alphas_cumprod, kind, "native")
    target = eps if kind == "epsilon" else scheduler.get_velocity(x0, eps, SOME_T)
    expected = F.mse_loss(prediction, target, reduction="none").mean((1, 2, 3))
    error = native.error(prediction, x0, native.add_noise(x0, eps, SOME_T), eps, SOME_T)
    torch.testing.assert_close(error, expected, rtol=1e-5, atol=0)
    if kind == "epsilon":
        noise = NoiseSchedule(scheduler.alphas_cumprod, kind, "noise")
        assert torch.equal(error, noise.error(prediction, x0, native.add_noise(x0, eps, SOME_T), eps, SOME_T))
        assert torch.equal(native.step_weights, noise.step_weights)
        assert torch.equal(native.single_shot_weights, noise.single_shot_weights)


@pytest.mark.parametrize("kind", KINDS)
def test_weights_follow_the_unit_of_the_error(kind: str, schedule: NoiseSchedule) -> None:
    """Weight times error is the same in both units, so the paper's densities hold for the native one too."""
    x0, eps, prediction = (latents(seed, torch.float64) for seed in (23, 24, 25))
    noise, native = (NoiseSchedule(schedule.alphas_cumprod, kind, unit) for unit in ("noise", "native"))
    abar = schedule.alphas_cumprod[SOME_T].view(-1, 1, 1, 1)
    x_t = abar.sqrt() * x0 + (1 - abar).sqrt() * eps
    target = {"epsilon": eps, "v_prediction": abar.sqrt() * eps - (1 - abar).sqrt() * x0, "sample": x0}[kind]
    e = {made.error_unit: made.error(prediction, x0, x_t, eps, SOME_T) for made in (noise, native)}
    torch.testing.assert_close(e["native"], (prediction - target).square().mean((1, 2, 3)), rtol=1e-6, atol=0)
    ratio = {"epsilon": abar**0, "v_prediction": abar, "sample": abar / (1 - abar)}[kind].flatten()
    torch.testing.assert_close(e["noise"], ratio * e["native"], rtol=1e-5, atol=0)
    assert native.to_noise_errors[SOME_T].tolist() == pytest.approx(ratio.tolist(), rel=1e-12)
    assert (noise.to_noise_errors == 1).all()
    for weights in ("single_shot_weights", "step_weights"):
        left, right = (getattr(made, weights)[SOME_T] * e[made.error_unit] for made in (noise, native))
        torch.testing.assert_close(left, right, rtol=1e-5, atol=0)
        exact = getattr(noise, weights)[SOME_T] * ratio  # without the rounding of the errors
        torch.testing.assert_close(getattr(native, weights)[SOME_T], exact, rtol=1e-9, atol=0)


@pytest.mark.parametrize("kind", KINDS[1:])
def test_native_weights_are_finite_at_zero_snr(kind: str) -> None:
    """There `x_t` is noise alone, and both estimates are of `x_0` itself."""
    rescaled = DDPMScheduler(**SD, rescale_betas_zero_snr=True, prediction_type=kind)
    native = replace(NoiseSchedule.from_scheduler(rescaled), error_unit="native")
    assert float(native.alphas_cumprod[-1]) == 0
    last = torch.tensor([999])
    x0, eps, prediction = latents(26)[:1], latents(27)[:1], latents(28)[:1]
    error = native.error(prediction, x0, native.add_noise(x0, eps, last), eps, last)
    clean = -prediction if kind == "v_prediction" else prediction
    assert float(error) == pytest.approx(float((x0 - clean).square().mean()), rel=1e-6)
    assert float(native.single_shot_weights[-1]) == 1
    # mu_q - mu_theta = sqrt(abar_{T-1}) (x_0 - x0_hat), and the posterior's variance is 1 - abar_{T-1}
    before = float(native.alphas_cumprod[-2])
    assert float(native.step_weights[-1]) == pytest.approx(before / (2 * (1 - before)), rel=1e-12)
    assert native.step_weights.isfinite().all()


def snr(schedule: NoiseSchedule) -> torch.Tensor:
    return schedule.alphas_cumprod / (1 - schedule.alphas_cumprod)


def test_single_shot_error_is_the_noise_error_over_the_snr(schedule: NoiseSchedule) -> None:
    """`||x_0 - x0_hat||^2 = c_t ||eps - eps_theta||^2`, for all three prediction types."""
    x0, eps, eps_hat = (latents(seed, torch.float64) for seed in (8, 9, 10))
    x_t = schedule.add_noise(x0, eps, SOME_T)
    single_shot = schedule.single_shot_weight(SOME_T) * schedule.noise_error(eps_hat, x_t, eps, SOME_T)
    for i, t in enumerate(SOME_T):
        abar = float(schedule.alphas_cumprod[t])
        x0_hat = (x_t[i] - math.sqrt(1 - abar) * eps_hat[i]) / math.sqrt(abar)
        assert float(single_shot[i]) == pytest.approx(float(((x0[i] - x0_hat) ** 2).mean()), rel=1e-5)
    torch.testing.assert_close(
        schedule.single_shot_weight(SOME_T) * snr(schedule)[SOME_T].float(), torch.ones(9)
    )


@pytest.mark.parametrize("k", [1, 2, 3, 11, 101, 500, 999, 1000])
def test_step_weight_is_the_log_importance_ratio_at_the_posterior_mean(
    schedule: NoiseSchedule, k: int
) -> None:
    """`log p_theta(x_{k-1} | x_k) - log q(x_{k-1} | x_k, x_0)` at the mean of q is `-lambda_k e_k`."""
    rng = np.random.default_rng(k)
    abar_of = [1.0, *schedule.alphas_cumprod.tolist()]
    abar, abar_previous = abar_of[k], abar_of[k - 1]
    beta = 1 - abar / abar_previous
    for _ in range(5):
        x0, eps, eps_theta = rng.normal(size=3)
        x_k = math.sqrt(abar) * x0 + math.sqrt(1 - abar) * eps

        def posterior_mean(clean: float, x_k: float = x_k) -> float:  # Ho et al. 2020, Eq. 7
            from_clean = math.sqrt(abar_previous) * beta / (1 - abar) * clean
            return from_clean + math.sqrt(1 - beta) * (1 - abar_previous) / (1 - abar) * x_k

        mu_q = posterior_mean(x0)
        mu_theta = posterior_mean((x_k - math.sqrt(1 - abar) * eps_theta) / math.sqrt(abar))
        if k == 1:  # q is a point there: the variance is clipped to that of k = 2
            beta_2 = 1 - abar_of[2] / abar_of[1]
            variance = beta_2 * (1 - abar_of[1]) / (1 - abar_of[2])
        else:
            variance = beta * (1 - abar_previous) / (1 - abar)
        sd = math.sqrt(variance)
        log_ratio = norm.logpdf(mu_q, mu_theta, sd) - norm.logpdf(mu_q, mu_q, sd)

        t = torch.tensor([k - 1])
        one = [torch.full((1, 1, 1, 1), value, dtype=torch.float64) for value in (eps_theta, x_k, eps)]
        error = schedule.noise_error(one[0], one[1], one[2], t)
        assert float(-schedule.step_weight(t) * error) == pytest.approx(log_ratio, rel=1e-6, abs=1e-10)


def test_published_values_on_the_schedule_of_sd(schedule: NoiseSchedule) -> None:
    k = torch.tensor([1, 10, 100, 500, 1000])
    t_lambda_t = (k * schedule.step_weight(k - 1)).tolist()
    assert [float(f"{value:.2g}") for value in t_lambda_t] == [1.0, 0.57, 0.67, 1.7, 6.1]

    t = torch.tensor([1, 10, 50, 100, 200, 300, 400, 500, 600, 700, 800, 900, 999])
    bound_weights = [
        *(0.5032, 0.05176, 0.01163, 0.00663, 0.00419, 0.00349, 0.00329),
        *(0.00335, 0.00360, 0.00401, 0.00458, 0.00529, 0.00610),
    ]
    noise_to_signal = [
        *(0.0017, 0.0097, 0.0509, 0.1183, 0.3268, 0.6935, 1.356, 2.619, 5.220, 11.12, 26.12, 69.7, 213.6)
    ]
    assert schedule.step_weight(t).tolist() == pytest.approx(bound_weights, abs=5.1e-6, rel=1.1e-4)
    assert schedule.single_shot_weight(t).tolist() == pytest.approx(noise_to_signal, abs=5.1e-5, rel=6e-4)


def test_step_weights_add_up_to_half_the_log_snr_lost(schedule: NoiseSchedule) -> None:
    log_snr = snr(schedule).log()
    for t in (20, 100, 500, 900):
        lost = float(log_snr[t] - log_snr[999]) / 2
        assert float(schedule.step_weights[t + 1 :].sum()) == pytest.approx(lost, rel=0.02)


def test_errors_are_formed_in_float32_whatever_the_precision(schedule: NoiseSchedule) -> None:
    for dtype in (torch.float16, torch.bfloat16):
        halves = [latents(seed).to(dtype) for seed in (11, 12, 13)]
        for kind in ("epsilon", "v_prediction", "sample"):
            made = NoiseSchedule(schedule.alphas_cumprod, kind)
            error = made.noise_error(halves[0], halves[1], halves[2], SOME_T)
            exact = made.noise_error(*(half.float() for half in halves), t=SOME_T)
            assert error.dtype == torch.float32
            assert torch.equal(error, exact)
        assert schedule.add_noise(halves[0], halves[1], SOME_T).dtype == torch.float32


def test_noise_error_passes_gradcheck(schedule: NoiseSchedule) -> None:
    x_t, eps = latents(14, torch.float64), latents(15, torch.float64)
    for kind in ("epsilon", "v_prediction", "sample"):
        made = NoiseSchedule(schedule.alphas_cumprod, kind)
        prediction = latents(16, torch.float64).requires_grad_()
        assert torch.autograd.gradcheck(
            lambda p, made=made: made.noise_error(p, x_t, eps, SOME_T), prediction
        )


def test_tables_are_rounded_once(schedule: NoiseSchedule) -> None:
    """Lookups are float64 values rounded to float32, not float32 arithmetic."""
    t = torch.arange(1000)
    abar = schedule.alphas_cumprod.numpy()
    assert np.array_equal(schedule.single_shot_weight(t).numpy(), ((1 - abar) / abar).astype(np.float32))


def test_zero_terminal_snr_is_known_and_its_errors_are_finite(schedule: NoiseSchedule) -> None:
    rescaled = DDPMScheduler(**SD, rescale_betas_zero_snr=True, prediction_type="v_prediction")
    zero = NoiseSchedule.from_scheduler(rescaled)
    assert zero.prediction_type == "v_prediction"
    assert zero.zero_terminal_snr
    almost = NoiseSchedule.from_scheduler(EulerDiscreteScheduler(**SD, rescale_betas_zero_snr=True))
    assert almost.zero_terminal_snr
    assert not schedule.zero_terminal_snr

    last = torch.tensor([999])
    x0, eps, v_hat = latents(17)[:1], latents(18)[:1], latents(19)[:1]
    x_t = zero.add_noise(x0, eps, last)
    assert torch.equal(x_t, eps)
    assert zero.noise_error(v_hat, x_t, eps, last).tolist() == [0.0]  # pure noise: x_t is the answer


def test_schedules_that_the_formulas_do_not_describe_are_refused() -> None:
    with pytest.raises(UserError, match="FlowMatchEulerDiscreteScheduler has no alphas_cumprod"):
        NoiseSchedule.from_scheduler(FlowMatchEulerDiscreteScheduler())
    with pytest.raises(UserError, match="'flow_prediction'"):
        NoiseSchedule(torch.tensor([0.9, 0.5]), "flow_prediction")  # type: ignore[arg-type]
    for values in ([0.9, 0.9, 0.1], [0.1, 0.9], [1.0, 0.5], [0.5, -0.1], [0.9, 0.5, -0.1], [0.5, math.nan]):
        with pytest.raises(UserError, match="alphas_cumprod must fall strictly"):
            NoiseSchedule(torch.tensor(values))
    for shape in ((1,), (2, 2)):
        with pytest.raises(UserError, match="at least two timesteps"):
            NoiseSchedule(torch.full(shape, 0.5))
