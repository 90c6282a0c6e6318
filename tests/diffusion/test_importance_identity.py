"""The identity behind the method (Eq. 6-9), by Monte Carlo on a chain where everything has a closed form.

`p_theta(x_0) = E_{q(x_{t:T} | x_0)} [p_theta(x_0 | x_t) prod_{k=t+1..T} r_k]` for every `t`, given
`p(x_T) = q(x_T | x_0)`: here the last step is pure noise, so that this holds exactly.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import norm

from ddecli.diffusion.schedule import NoiseSchedule

T = 7
ABAR = np.array([1.0, 0.93, 0.80, 0.62, 0.42, 0.24, 0.09, 0.0])  # abar_0 .. abar_T
SCHEDULE = NoiseSchedule(torch.from_numpy(ABAR[1:]))
X0 = 0.6
SAMPLES = 200_000


def posterior(k: int) -> tuple[float, float, float]:
    """`q(x_{k-1} | x_k, x_0)`: the factors of x_0 and x_k in its mean, and its variance (Ho et al. 2020)."""
    alpha = ABAR[k] / ABAR[k - 1]
    from_clean = np.sqrt(ABAR[k - 1]) * (1 - alpha) / (1 - ABAR[k])
    from_noisy = np.sqrt(alpha) * (1 - ABAR[k - 1]) / (1 - ABAR[k])
    return from_clean, from_noisy, (1 - alpha) * (1 - ABAR[k - 1]) / (1 - ABAR[k])


# The model: p_theta(x_{k-1} | x_k) = N(slope_k x_k + offset_k, variance_k), other coefficients every step.
SLOPE, OFFSET, VARIANCE = np.zeros(T + 1), np.zeros(T + 1), np.zeros(T + 1)
for _k in range(1, T + 1):
    _clean, _noisy, _variance = posterior(_k)
    SLOPE[_k] = _noisy + 0.6 * _clean
    OFFSET[_k] = 0.05 * (-1) ** _k + 0.02 * _k
    VARIANCE[_k] = _variance * (0.8 if _k % 2 else 0.95) if _k > 1 else 0.05


def lower_segment(t: int) -> tuple[float, float, float]:
    """`p_theta(x_0 | x_t) = N(slope x_t + offset, variance)`: the steps t..1, one after another."""
    slope, offset, variance = 1.0, 0.0, 0.0
    for k in range(t, 0, -1):
        slope, offset = SLOPE[k] * slope, SLOPE[k] * offset + OFFSET[k]
        variance = SLOPE[k] ** 2 * variance + VARIANCE[k]
    return slope, offset, variance


def exact_density() -> float:
    slope, offset, variance = lower_segment(T)
    return float(norm.pdf(X0, offset, np.sqrt(slope**2 + variance)))  # x_T is N(0, 1)


def estimate(t: int) -> tuple[float, float]:
    """Mean and standard error of the right side of the identity, over trajectories of the forward process."""
    rng = np.random.default_rng(t)
    x = rng.normal(np.sqrt(ABAR[t]) * X0, np.sqrt(1 - ABAR[t]), SAMPLES)
    slope, offset, variance = lower_segment(t)
    log_values = norm.logpdf(X0, slope * x + offset, np.sqrt(variance))
    for k in range(t + 1, T + 1):
        alpha = ABAR[k] / ABAR[k - 1]
        noisier = rng.normal(np.sqrt(alpha) * x, np.sqrt(1 - alpha))
        clean, noisy, variance_q = posterior(k)
        log_p = norm.logpdf(x, SLOPE[k] * noisier + OFFSET[k], np.sqrt(VARIANCE[k]))
        log_values += log_p - norm.logpdf(x, clean * X0 + noisy * noisier, np.sqrt(variance_q))  # log r_k
        x = noisier
    values = np.exp(log_values)
    return float(values.mean()), float(values.std() / np.sqrt(SAMPLES))


@pytest.mark.parametrize("t", range(1, T + 1))
def test_the_identity_holds_at_every_timestep(t: int) -> None:
    exact = exact_density()
    mean, standard_error = estimate(t)
    assert standard_error < 0.01 * exact  # sharp enough to tell a wrong identity from a right one
    assert abs(mean - exact) < 4.5 * standard_error


@pytest.mark.parametrize("k", range(2, T))
def test_step_weights_are_the_ratios_of_the_identity(k: int) -> None:
    """`log r_k = -lambda_k e_k` at the mean of `q`, where the model has q's variance and predicts its own noise."""
    x_k, eps, eps_hat = np.random.default_rng(k).normal(size=3)
    x0, x0_hat = ((x_k - np.sqrt(1 - ABAR[k]) * noise) / np.sqrt(ABAR[k]) for noise in (eps, eps_hat))
    clean, noisy, variance = posterior(k)
    mean = clean * x0 + noisy * x_k
    scale = np.sqrt(variance)
    log_ratio = norm.logpdf(mean, clean * x0_hat + noisy * x_k, scale) - norm.logpdf(mean, mean, scale)
    weight = float(SCHEDULE.step_weights[k - 1])
    assert log_ratio == pytest.approx(-weight * (eps - eps_hat) ** 2)
