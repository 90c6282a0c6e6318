"""What a run tells of itself: a line of metrics a step, the credit map, and the brake."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ddecli.core.advice import gentler
from ddecli.core.console import console
from ddecli.core.errors import UserError
from ddecli.core.files import atomic_file
from ddecli.core.parsing import check_shape, parse_json
from ddecli.core.paths import readable_file
from ddecli.objectives.base import ObjectiveOutput, PairErrors
from ddecli.objectives.registry import has_beta
from ddecli.training.checkpoint import latest_step

CREDIT_BINS = 50
OF_REFERENCE = slice(3, 5)
"""Columns of the reference's errors, see `columns_of`."""
OF_SIGMOIDS = ("sigmoid_sum", "sigmoid_square_sum")
OF_PAIRS = ("implicit_accuracy", "logit", "logit_std", "margin", "margin_q05", "margin_q50", "margin_q95")
"""Metrics that a loss without pairs has not."""
MAX_OVERFLOWS = 20
"""Steps in a row that float16 may leave out: the scale, 65536 at first, has long reached 1 by then."""
HARMLESS = 0.25
"""A mean error below a quarter of the noise's variance breaks no model: near noise the reference's is a hundredth,
and many times that is still little."""


def columns_of(errors: PairErrors, output: ObjectiveOutput, gradient_norm: Tensor | None = None) -> Tensor:
    """What one forward pass says of its `B` pairs, as one (B, 9) float64 tensor that processes can gather.

    gradient_norm: (B,) of each pair's own loss in the weights, NaN where it was not measured; None where nowhere.
    """
    absent = torch.full_like(output.loss, torch.nan)
    parts = (
        errors.t,
        errors.policy_w,
        errors.policy_l,
        errors.reference_w,
        errors.reference_l,
        output.loss,
        output.logit,
        output.gradient_weight,
        gradient_norm,
    )
    return torch.stack([(absent if part is None else part.detach()).double() for part in parts], dim=1)


def errors_of(columns: Tensor) -> PairErrors:
    """The errors in gathered columns, (B,) float32 each."""
    policy_w, policy_l, reference_w, reference_l = columns[:, 1:5].float().unbind(1)
    return PairErrors(policy_w, policy_l, reference_w, reference_l, columns[:, 0].long())


def step_metrics(columns: Tensor, has_margin: bool = True) -> dict[str, float | None]:
    """The metrics of one optimizer step over its whole batch: means and quantiles.

    Args:
        has_margin: whether the objective compares pairs. Where it does not, what is said of pairs is None; a loss of
            pairs that is no `-log sigmoid(z)` has all of it but the logit.
    """
    names = ("policy_w", "policy_l", "reference_w", "reference_l", "loss", "logit", "gradient_weight")
    mean = dict(zip(names, columns[:, 1:8].mean(0).tolist(), strict=True))
    metrics: dict[str, float | None] = {"loss": mean["loss"], "gradient_weight": mean["gradient_weight"]}
    metrics |= {f"error_{name}": _number(mean[name]) for name in names[:4]}
    if not has_margin:
        return metrics | dict.fromkeys(OF_PAIRS)
    margin = errors_of(columns).margin.double()
    low, middle, high = torch.quantile(margin, torch.tensor([0.05, 0.5, 0.95], dtype=torch.float64)).tolist()
    return metrics | {
        "implicit_accuracy": implicit_accuracy(margin),
        "logit": _number(mean["logit"]),
        "logit_std": _number(columns[:, 6].std(correction=0).item()),
        "margin": margin.mean().item(),
        "margin_q05": low,
        "margin_q50": middle,
        "margin_q95": high,
    }


def implicit_accuracy(margin: Tensor) -> float:
    """Share of pairs on whose winner the policy has gained more than on the loser: `D < 0`, ties half.

    Not a share of positive logits: DDE's also holds what other pairs did.

    Args:
        margin: (B,) `D(t)`.
    """
    return ((margin < 0).double() + (margin == 0).double() / 2).mean().item()


def _number(value: float) -> float | None:
    return None if value != value else value


class CreditMap:
    """What the loss gives to timesteps, by timestep bin and optimizer step, and the correction terms of DDE.

    Arrays of credit.npz, (steps, bins) but for the first, with `bin_edges` (bins + 1,) timesteps:

    * `gradient_weight_sum` and `count`, whose ratio is the mean gradient weight `|dL/dD|`. Its unit is one over that of
      an error: here always errors of the noise, whatever the unit in which a run forms its errors, so that maps can be
      compared; by errors of v or of the clean latent the same training has other weights.
    * `sigmoid_sum` and `sigmoid_square_sum`, the sums over these visits of `sigmoid(-z)` and of its square. It is the
      part of the weight that says how far a pair is learned, one half at the start whatever the unit; of both sums the
      slope of the sigmoid follows, which falls where logits saturate. Only of losses `-log sigmoid(z)`.
    * `gradient_norm_sum`, `gradient_norm_count` and `gradient_norm_weight_sum`, of the pairs of which it was measured:
      the norm of the gradient of a pair's loss in the weights, and the same pairs' `|dL/dD|`. The norm holds how
      strongly `D(t)` pulls at the weights, and has no unit of an error.
    * `corrections`, `C(t)` at the first timestep of each bin, and `table` (4, table bins) for objectives with a delayed
      table.
    """

    def __init__(self, steps: int, num_timesteps: int, to_noise_errors: Tensor | None = None) -> None:
        """An empty map.

        Args:
            to_noise_errors: of the run's schedule, (T,) float64; None for errors of the noise.
        """
        ones = torch.ones(num_timesteps, dtype=torch.float64)
        self.to_noise_errors = ones if to_noise_errors is None else to_noise_errors
        self.edges = torch.linspace(0, num_timesteps, CREDIT_BINS + 1).round().long()
        self.weight_sum = torch.zeros(steps, CREDIT_BINS, dtype=torch.float64)
        self.count = torch.zeros(steps, CREDIT_BINS, dtype=torch.float64)
        self.corrections = torch.zeros(steps, CREDIT_BINS, dtype=torch.float64)
        self.sigmoid_sum = torch.zeros(steps, CREDIT_BINS, dtype=torch.float64)
        self.sigmoid_square_sum = torch.zeros(steps, CREDIT_BINS, dtype=torch.float64)
        self.norm_sum = torch.zeros(steps, CREDIT_BINS, dtype=torch.float64)
        self.norm_count = torch.zeros(steps, CREDIT_BINS, dtype=torch.float64)
        self.norm_weight_sum = torch.zeros(steps, CREDIT_BINS, dtype=torch.float64)

    def add(self, step: int, columns: Tensor, corrections: Tensor | None) -> None:
        """Record one optimizer step. At zero SNR the noise has no error, and a visit is left out.

        Args:
            corrections: `C(t)` after it, (T,) float64; None of an objective without.
        """
        t = columns[:, 0].long()
        ratio = self.to_noise_errors[t]
        bins = torch.bucketize(t, self.edges[1:], right=True)[ratio > 0]
        weight, norm = (columns[:, 7] / ratio)[ratio > 0], columns[ratio > 0, 8]
        self.weight_sum[step].index_add_(0, bins, weight)
        self.count[step].index_add_(0, bins, torch.ones_like(weight))
        sigmoid = torch.sigmoid(-columns[ratio > 0, 6])
        self.sigmoid_sum[step].index_add_(0, bins, sigmoid)
        self.sigmoid_square_sum[step].index_add_(0, bins, sigmoid.square())
        is_measured = ~norm.isnan()
        bins, weight, norm = bins[is_measured], weight[is_measured], norm[is_measured]
        self.norm_sum[step].index_add_(0, bins, norm)
        self.norm_count[step].index_add_(0, bins, torch.ones_like(norm))
        self.norm_weight_sum[step].index_add_(0, bins, weight)
        if corrections is not None:
            self.corrections[step] = corrections[self.edges[:-1]]

    def state(self) -> dict[str, Tensor]:
        """For the checkpoint."""
        norms = ("norm_sum", "norm_count", "norm_weight_sum")
        names = ("weight_sum", "count", "corrections", *OF_SIGMOIDS, *norms)
        return {name: getattr(self, name) for name in names}

    def load(self, state: dict[str, Tensor]) -> None:
        """Take over a checkpoint's state; the run may have become longer. Earlier versions had no sigmoids."""
        unknown = {name: torch.full_like(state["count"], torch.nan) for name in OF_SIGMOIDS if state}
        for name, value in (unknown | state).items():
            rows = min(len(value), len(self.count))
            getattr(self, name)[:rows] = value[:rows]

    def save(self, path: Path, table: dict[str, Tensor]) -> None:
        """Write credit.npz.

        Args:
            table: state of the objective's delayed table; empty of an objective without.
        """
        arrays: dict[str, Any] = {
            "bin_edges": self.edges,
            "gradient_weight_sum": self.weight_sum,
            "count": self.count,
        }
        sigmoids = {name: getattr(self, name) for name in OF_SIGMOIDS}
        if all(each.isfinite().all() and each.any() for each in sigmoids.values()):
            arrays |= sigmoids
        if self.norm_count.any():
            arrays |= {"gradient_norm_sum": self.norm_sum, "gradient_norm_count": self.norm_count}
            arrays["gradient_norm_weight_sum"] = self.norm_weight_sum
        if table:
            arrays |= {"corrections": self.corrections}
            arrays |= {f"table_{name}": value.cpu() for name, value in table.items()}
        with atomic_file(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(
                file, allow_pickle=False, **{name: np.asarray(value) for name, value in arrays.items()}
            )


class MetricsLog:
    """metrics.jsonl, a line per step, holdout.jsonl, a line per evaluation, or samples.jsonl, one per sheet; flushed.

    A resumed run first drops the lines it will write again.
    """

    def __init__(self, path: Path, first_step: int) -> None:
        self.path = path
        kept = []
        if path.exists():
            lines = readable_file(path).read_bytes().removesuffix(b"\n").split(b"\n")
            steps = [step_of(line) for line in lines]
            kept = [
                line
                for line, step in zip(lines, steps, strict=True)
                if step is not None and step < first_step
            ]
            damaged = steps[:-1].count(None)  # the last may be half written
            if damaged:
                console.print(f"{damaged} damaged lines of {path} are left out.")
        with atomic_file(path) as temporary:
            temporary.write_bytes(b"".join(line + b"\n" for line in kept))
        self._file = path.open("a", encoding="utf-8")

    def write(self, metrics: dict[str, Any]) -> None:
        """Append one step."""
        self._file.write(json.dumps(metrics) + "\n")
        self._file.flush()

    def close(self) -> None:
        """End of the run."""
        self._file.close()


def step_of(line: bytes) -> int | None:
    """The step that a line of the log is of; None of a damaged one."""
    try:
        values = parse_json(line)
        check_shape(values, dict[str, float | None])
        return int(values["step"])
    except (ValueError, LookupError, TypeError, OverflowError):
        return None


class Brake:
    """Stops a run that is breaking the model, before its checkpoints are overwritten."""

    def __init__(self, checkpoints: Path, max_winner_error: float, loss: str | None = None) -> None:
        self.checkpoints = checkpoints
        self.loss = loss
        self.max_winner_error = max_winner_error
        self.first_winner_error: float | None = None
        self.overflows = 0

    def check(
        self, step: int, metrics: dict[str, float | None], gradient_norm: float, is_scaled: bool = False
    ) -> None:
        """Look at one step, before its update is applied.

        Args:
            is_scaled: float16's gradients are scaled: if they overflow, the step is left out and the scale halved.

        Raises:
            UserError: loss or gradient is not finite, or the winners' error exceeds the reference's (without one,
                the first step's) too many times.
        """
        loss, winner = metrics["loss"], metrics["error_policy_w"]
        assert loss is not None
        self.overflows = self.overflows + 1 if is_scaled and not np.isfinite(gradient_norm) else 0
        is_gradient_good = np.isfinite(gradient_norm) or 0 < self.overflows <= MAX_OVERFLOWS
        if not (np.isfinite(loss) and is_gradient_good) or winner is None:
            self._stop(step, "the loss or its gradient is no longer a number")
            return
        if self.first_winner_error is None:
            self.first_winner_error = winner
        expected = metrics["error_reference_w"] or self.first_winner_error
        if winner > max(HARMLESS, self.max_winner_error * expected):
            self._stop(
                step, f"the error on preferred images is {winner / expected:.1f} times the reference's"
            )

    def _stop(self, step: int, what: str) -> None:
        good = latest_step(self.checkpoints)
        kept = (
            "No checkpoint had been written yet" if good is None else f"The checkpoint of step {good} is kept"
        )
        raise UserError(
            f"Training stopped at step {step}: {what}. {kept}; try {gentler(has_beta(self.loss))}."
        )
