"""Denoised Distribution Estimation (DDE), Shi et al., arXiv 2411.14871, Eq. 11.

A sampled step `t` cuts the trajectory in two. What the policy does on each part is estimated from the
errors at hand, without running the model again:

* `x_t -> x_0`, single-shot: DDIM's jump from `x_t` to the clean end, a Gaussian around `x0_hat`. DDIM's own
  variance there is 0, which is no density; the terminal variance is taken as 1, the latents' own scale.
  `log p_theta(x_0 | x_t) = -1/2 ||x_0 - x0_hat||^2 = -1/2 c_t ||eps - eps_theta||^2`, `c_t = 1 / SNR(t)`.
  In other units of the error (`NoiseSchedule.error_unit`) `c_t` and `lambda_k` are such that the products stay.
* `x_T -> x_t`, stepwise: importance ratios `log r_k = -lambda_k e_k` of the steps `k = t+1..T`, taken from a
  table of delayed errors: `C(t) = sum_k lambda_k Dbar_k`, a number without gradient.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ddecli.objectives.corrected import CorrectedObjective
from ddecli.objectives.loss import Loss

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class DDE(CorrectedObjective):
    """`L = -log sigmoid(-beta (1/2 c_t D(t) + C(t)))`."""

    def weight(self, t: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """`1/2 c_t`."""
        return 0.5 * self.schedule.single_shot_weight(t, dtype)


LOSS = Loss(
    "dde",
    "DDE",
    "DDE, single-shot estimate below t, stepwise correction above it",
    DDE,
    paper="arXiv:2411.14871",
    error_unit="noise",
    settings=("beta", "ema_decay", "correction_bins"),
    mean_weight=10.15,
    needs_snr=True,
    formula="c_t/2",
    colour="#0072B2",
    marker="o",
)
