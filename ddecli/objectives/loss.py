"""What is known of a loss before it is used: its file describes it, and everything else asks here. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from ddecli.objectives.base import Objective

DPO_BETA, DPO_WEIGHT = 5000.0, 0.5
"""Beta of Diffusion-DPO's public code, and the factor before its `D(t)`."""


@dataclass(frozen=True)
class Loss:
    """What `--loss NAME` stands for.

    Attributes:
        name: as it is typed, and in run.yaml.
        label: what tables and figures call it.
        summary: one line for the help text.
        objective: its class, called with a model's schedule and `settings` by name.
        also: other names by which it may be typed; what is written down is `name`.
        paper: where it is from, `arXiv:NUMBER`; empty if nowhere. Losses are listed in the order of their papers.
        timesteps: how they are drawn.
        error_unit: in which errors are formed if nothing else is asked for. Fine-tuning and Diffusion-DPO are public
            code, which takes the error of what the model predicts; DDE is derived for errors of the noise, and in them
            stays what its paper says.
        settings: those of training that the objective takes.
        defaults: values of settings that are its own, where no recipe says otherwise.
        mean_weight: mean of its `weight(t)` over the timesteps of Stable Diffusion's schedule, errors of the noise;
            None for a loss without beta, or with one that is no factor before `D(t)`.
        needs_snr: whether by errors of the noise it cannot be formed where the last timestep has zero SNR.
        formula: of `weight(t)`, for figures.
        colour, marker, line: its own in every figure. A line is a style of matplotlib; of two lines that coincide, the
            dashes of the upper one show the lower one.
    """

    name: str
    label: str
    summary: str
    objective: Callable[..., Objective]
    also: tuple[str, ...] = ()
    paper: str = ""
    timesteps: Literal["uniform", "discounted"] = "uniform"
    error_unit: Literal["noise", "native"] = "native"
    settings: tuple[str, ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    mean_weight: float | None = None
    needs_snr: bool = False
    formula: str = ""
    colour: str = "black"
    marker: str = "X"
    line: Any = "-"

    @property
    def has_beta(self) -> bool:
        """Whether there is a strength of the preference."""
        return "beta" in self.settings

    @property
    def scales_margin(self) -> bool:
        """Whether beta is a factor before the margin, within the link."""
        return self.mean_weight is not None

    @property
    def has_logit(self) -> bool:
        """Whether it is a `-log sigmoid(z)`."""
        return bool(getattr(self.objective, "is_log_sigmoid", False))

    @property
    def has_losers(self) -> bool:
        """Whether rejected pictures are looked at."""
        return bool(getattr(self.objective, "needs_losers", True))

    @property
    def has_soft_labels(self) -> bool:
        """Whether a label may be a probability."""
        return bool(getattr(self.objective, "takes_strengths", False))

    @property
    def has_reference(self) -> bool:
        """Whether a reference is looked at."""
        return bool(getattr(self.objective, "needs_reference", True))

    @property
    def is_corrected(self) -> bool:
        """Whether correction terms of the delayed table are part of its logit."""
        return "correction_bins" in self.settings

    @property
    def usual_beta(self) -> float | None:
        """The beta at which the factor before `D(t)` has the mean that Diffusion-DPO's has at 5000, of two digits.

        Where beta is no such factor, its own default.
        """
        if self.mean_weight is None:
            return self.defaults.get("beta")
        return float(f"{DPO_BETA * DPO_WEIGHT / self.mean_weight:.1e}")
