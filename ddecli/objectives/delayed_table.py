"""The delayed table: running means of the errors by timestep, and the correction terms (Alg. 1)."""

from __future__ import annotations

import torch
from torch import Tensor

from ddecli.core.errors import UserError
from ddecli.diffusion.schedule import NoiseSchedule
from ddecli.objectives.base import PairErrors


class DelayedTable:
    """Running means of the four errors at every timestep, from which the correction terms are read.

    An optimizer step reads the table as the step before left it; after the step `update` is called once with
    the errors of all micro-batches and processes.

    schedule: gives `T` and `lambda_k`.
    ema_decay: weight of the old mean when an entry is visited again; the first visit sets the entry.
    bins: number of entries, 1..T, each shared by neighbouring timesteps; default one a timestep. An entry is a mean
        of errors in the schedule's unit, which weighs the timesteps that share it a little differently in another.

    Everything is float64 on the CPU. A float64 holds sums of float32 errors without rounding, up to about
    2^29 of them of one magnitude, so the way a step is cut into micro-batches and processes leaves no trace.
    """

    def __init__(self, schedule: NoiseSchedule, ema_decay: float = 0.95, bins: int | None = None) -> None:
        T = schedule.num_timesteps
        bins = T if bins is None else bins
        if not 0 <= ema_decay < 1:
            raise UserError(f"The table's EMA decay must be at least 0 and below 1, not {ema_decay}.")
        if not 1 <= bins <= T:
            raise UserError(
                f"The correction bins (correction_bins {bins}) are more than the model's {T} timesteps."
                if bins > T
                else f"The number of correction bins must be at least 1, not {bins}."
            )
        self.ema_decay = ema_decay
        self._step_weights = schedule.step_weights
        self._bin_of = torch.arange(T) * bins // T
        self._means = torch.zeros(4, bins, dtype=torch.float64)
        self._visited = torch.zeros(bins, dtype=torch.bool)
        self._corrections: Tensor  # C(t), (T,) float64
        self._on_device: Tensor  # the same in float32, where it was last asked for
        self._set_corrections()

    def update(self, errors: PairErrors) -> None:
        """Moves every visited entry once, towards the mean over all its visits in the step.

        errors: of the whole global batch.
        Raises ValueError for an error that is not finite: it would stay in the table for good.
        """
        if errors.policy_l is None or errors.reference_w is None or errors.reference_l is None:
            raise ValueError("the delayed table needs the errors of both images under policy and reference")
        values = torch.stack([errors.policy_w, errors.policy_l, errors.reference_w, errors.reference_l])
        values = values.detach().cpu().to(torch.float64)  # (4, B)
        if not bool(values.isfinite().all()):
            raise ValueError("noise errors that are not finite cannot enter the delayed table")
        bin_of = self._bin_of[errors.t.cpu()]
        sums = torch.zeros_like(self._means).index_add_(1, bin_of, values)
        counts = torch.bincount(bin_of, minlength=len(self._visited))
        visited = counts > 0
        step_means = sums / counts.clamp(min=1)
        moved = self.ema_decay * self._means + (1 - self.ema_decay) * step_means
        entered = torch.where(self._visited, moved, step_means)  # the first visit sets the entry
        self._means = torch.where(visited, entered, self._means)
        self._visited = self._visited | visited
        self._set_corrections()

    def correction(self, t: Tensor) -> Tensor:
        """`C(t) = sum_{k=t+1..T} lambda_k Dbar_k` over the timesteps above `t`. t: (B,) -> (B,) float32."""
        if self._on_device.device != t.device:  # once an optimizer step: a copy waits for all a GPU has to do
            self._on_device = self._on_device.to(t.device)
        return self._on_device[t]

    def corrections(self) -> Tensor:
        """`C(t)` of every timestep, (T,) float64."""
        return self._corrections.clone()

    def state_dict(self) -> dict[str, Tensor]:
        """`means` (4, bins) float64 and `visited` (bins,) bool."""
        return {"means": self._means.clone(), "visited": self._visited.clone()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Takes over a saved table, bit for bit. Raises UserError if its number of bins is another one."""
        if state["means"].shape != self._means.shape:
            raise UserError(
                f"The checkpoint's delayed table has {state['means'].shape[1]} correction bins, this run "
                f"{self._means.shape[1]}; resume with the setting that the run was started with."
            )
        self._means = state["means"].to("cpu", torch.float64)
        self._visited = state["visited"].to("cpu", torch.bool)
        self._set_corrections()

    def _set_corrections(self) -> None:
        policy_w, policy_l, reference_w, reference_l = self._means
        margin = (policy_w - policy_l) - (reference_w - reference_l)  # Dbar, as D(t): (bins,)
        step_terms = self._step_weights * margin[self._bin_of]  # lambda_k Dbar_k: (T,)
        from_t_on = step_terms.flip(0).cumsum(0).flip(0)
        self._corrections = torch.cat([from_t_on[1:], from_t_on.new_zeros(1)])  # above t, t itself left out
        self._on_device = self._corrections.to(torch.float32)
