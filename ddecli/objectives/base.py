"""What an objective sees, what it returns, and how those that compare pairs are formed. Imports no torch by itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class PairErrors:
    """Errors of `B` preference pairs at their sampled timesteps.

    policy_w, policy_l, reference_w, reference_l: (B,) float32, `e = mean((eps - eps_theta)^2)` of the policy
    and the reference on the preferred (w) and the rejected (l) image, which share `t` and `eps`; or the errors of
    what the model predicts, where the schedule's unit is native.
    Those that an objective does not need are None: see `Objective`.
    t: (B,) long, diffusers indices 0..T-1.
    distance: (B,) float32, the mean square between the predictions of policy and reference on the preferred image.
    overlap: (B,) float32 without gradient, the mean product of what the policy is off by on both images, which is as
        the gradients of its two errors in its predictions lie to each other.
    strength: (B,) float32, the probability that the preferred image is preferred, 0.5 to 1 (`--labels soft`); None
        where every label is taken to be certain.
    """

    policy_w: Tensor
    policy_l: Tensor | None
    reference_w: Tensor | None
    reference_l: Tensor | None
    t: Tensor
    distance: Tensor | None = None
    overlap: Tensor | None = None
    strength: Tensor | None = None

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
    gradient_weight: (B,) `|d loss / d e_theta^w|`, by the error on the preferred image, without gradient (the credit
        map). `D(t)` moves with it one to one, so of a loss of `D(t)` it is `|d loss / dz| |dz / dD(t)|`.
    """

    loss: Tensor
    logit: Tensor | None
    gradient_weight: Tensor


class Objective(ABC):
    """A loss: a pure function of errors and timesteps, and of what it has observed in earlier steps, if anything.

    needs_losers: whether errors on rejected images are looked at.
    needs_reference: whether errors of the reference are. With both there is a margin, of which training tells.
    needs_distance, needs_overlap: whether these are, see `PairErrors`. With a distance the reference's errors alone,
        as other runs have left them, are not enough.
    takes_strengths: whether labels may be probabilities, see `PairErrors`.
    """

    needs_losers: bool = True
    needs_reference: bool = True
    needs_distance: bool = False
    needs_overlap: bool = False
    takes_strengths: bool = False

    @abstractmethod
    def __call__(self, errors: PairErrors) -> ObjectiveOutput:
        """Loss and diagnostics of each pair on its own."""

    @property
    def has_margin(self) -> bool:
        """Whether pairs are compared: all four errors are there."""
        return self.needs_losers and self.needs_reference

    def observe(self, errors: PairErrors) -> None:  # noqa: B027 - most losses remember nothing
        """Called once after an optimizer step with the errors of its whole global batch."""

    def corrections(self) -> Tensor | None:
        """`C(t)` of every timestep as the next step will use it, (T,) float64; None where there is none."""
        return None

    def state_dict(self) -> dict[str, Tensor]:
        """All that was observed, for the checkpoint, and a delayed table for credit.npz; empty if nothing ever is."""
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:  # noqa: B027
        """Takes over a saved state, bit for bit. Raises UserError where it is one of other settings."""


class PairObjective(Objective):
    """`L = link(z)`, `z = -beta (weight(t) D(t) + C(t))`, where not said otherwise `L = -log sigmoid(z)`.

    A loss gives the weight, and its link if it has another; logit, loss and gradient weight follow from them. `C(t)` is
    a number without gradient.

    Of a pair whose label has a strength `p` it is `L = p link(z) + (1 - p) link(-z)`, the mean over both labels that it
    may have. With `-log sigmoid` that is the cross-entropy of E. Mitchell, "A note on DPO with noisy preferences"
    (2023), with a share of wrong labels that is each pair's own: it is least where `sigmoid(z) = p`. With IPO's squared
    link it is least at `z = p - 1/2`, the regression that arXiv 2310.12036 derives it from.

    is_log_sigmoid: whether the link is that one. Of another, and of soft labels, `z` is no logit, and is not told.
    """

    is_log_sigmoid: bool = True
    takes_strengths = True

    def __init__(self, beta: float) -> None:
        self.beta = beta

    @abstractmethod
    def weight(self, t: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """The factor before `D(t)`. t: (B,) -> (B,) float32, or of the precision that is asked for."""

    def correction(self, t: Tensor) -> Tensor | None:
        """`C(t)`. t: (B,) -> (B,) float32; None where there is none."""
        return None

    def link(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """The loss of `z` and its slope `dL/dz`. z: (B,) -> (B,) each."""
        import torch
        import torch.nn.functional as F

        return -F.logsigmoid(z), -torch.sigmoid(-z)

    def __call__(self, errors: PairErrors) -> ObjectiveOutput:
        weight, correction = self.weight(errors.t), self.correction(errors.t)
        term = weight * errors.margin
        z = -self.beta * (term if correction is None else term + correction)
        loss, slope = self.link(z)
        if errors.strength is not None:
            p, (other_loss, other_slope) = errors.strength, self.link(-z)
            loss, slope = p * loss + (1 - p) * other_loss, p * slope - (1 - p) * other_slope

        gradient_weight = slope.abs() * (self.beta * weight)
        is_logit = self.is_log_sigmoid and errors.strength is None
        return ObjectiveOutput(loss, z if is_logit else None, gradient_weight.detach())
