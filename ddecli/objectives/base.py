"""What an objective sees and what it returns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from ddecli.objectives.delayed_table import DelayedTable


@dataclass(frozen=True, eq=False)
class PairErrors:
    """Errors of `B` preference pairs at their sampled timesteps.

    policy_w, policy_l, reference_w, reference_l: (B,) float32, `e = mean((eps - eps_theta)^2)` of the policy
    and the reference on the preferred (w) and the rejected (l) image, which share `t` and `eps`; or the errors of
    what the model predicts, where the schedule's unit is native.
    Objectives with `winners_only` need `policy_w` alone; the other three are then None.
    t: (B,) long, diffusers indices 0..T-1.
    """

    policy_w: Tensor
    policy_l: Tensor | None
    reference_w: Tensor | None
    reference_l: Tensor | None
    t: Tensor

    @property
    def margin(self) -> Tensor:
        """The error margin `D(t)`, (B,): negative when the policy learns the preference."""
        if self.policy_l is None or self.reference_w is None or self.reference_l is None:
            raise ValueError("the margin needs the errors of both images under the policy and the reference")
        # (w - l) before (policy - reference), the order of Diffusion-DPO's public code, to the last bit.
        return (self.policy_w - self.policy_l) - (self.reference_w - self.reference_l)


@dataclass(frozen=True, eq=False)
class ObjectiveOutput:
    """Per-pair results; the training loop averages.

    loss: (B,).
    logit: (B,) `z` of `loss = -log sigmoid(z)`, or None where the loss has no logit.
    gradient_weight: (B,) `|d loss / d D(t)| = sigmoid(-z) |dz / dD(t)|`, without gradient (the credit map).
    """

    loss: Tensor
    logit: Tensor | None
    gradient_weight: Tensor


class Objective(ABC):
    """A loss: a pure function of errors and timesteps, but for the delayed table of those that have one.

    winners_only: whether only the policy's errors on preferred images are looked at; else pairs are compared, and
        training tells margin and accuracy, whether the loss has a logit or not.
    table: read by `__call__`, updated by the training loop once an optimizer step, saved with the run.
    """

    winners_only: bool = False
    table: DelayedTable | None = None

    @abstractmethod
    def __call__(self, errors: PairErrors) -> ObjectiveOutput:
        """Loss and diagnostics of each pair on its own."""
