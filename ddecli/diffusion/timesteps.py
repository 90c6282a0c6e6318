"""How the timestep of a training sample is drawn: uniformly, within a segment, or discounted."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction

import torch
from torch import Tensor

from ddecli.core.errors import UserError
from ddecli.core.segments import Segment


def segment_indices(segment: Segment, num_timesteps: int) -> range:
    """The diffusers indices of a segment `[a, b)`: `floor(a T) .. ceil(b T) - 1`."""
    # As decimals, the way they were written: in binary 0.29 * 100 is 28.999..., and its floor is wrong.
    start, end = (Fraction(str(fraction)) * num_timesteps for fraction in segment)
    return range(math.floor(start), math.ceil(end))


@dataclass(frozen=True, eq=False)
class TimestepSampler:
    """Draws timesteps by inverting their cumulative distribution, so that a draw is a pure function of `u`.

    weights: (T,) float64, at least one positive; `t` is drawn with probability `weights[t] / sum(weights)`.
    """

    weights: Tensor
    _cumulative: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        cumulative = self.weights.cumsum(0)
        object.__setattr__(self, "_cumulative", cumulative / cumulative[-1])

    @classmethod
    def uniform(cls, num_timesteps: int, segment: Segment | None = None) -> TimestepSampler:
        """Every timestep, or every timestep of the segment, equally often."""
        return cls(_within(torch.ones(num_timesteps, dtype=torch.float64), segment))

    @classmethod
    def discounted(
        cls, num_timesteps: int, gamma: float = 0.9, K: int = 50, segment: Segment | None = None
    ) -> TimestepSampler:
        """`p(t)` proportional to `gamma^k(t)`, `k(t) = floor((T - 1 - t) / (T / K))` (Yang et al. 2024b).

        `k(t)` counts the reverse steps of a `K`-step sampler from pure noise, so `gamma < 1` favours noise.
        Raises UserError unless `0 < gamma <= 1` and `1 <= K`.
        """
        if not 0 < gamma <= 1:
            raise UserError(f"The discount gamma must be above 0 and at most 1, not {gamma}.")
        if K < 1:
            raise UserError(f"The number of discounted reverse steps must be at least 1, not {K}.")
        reverse_steps = torch.arange(num_timesteps - 1, -1, -1) * K // num_timesteps
        return cls(_within(gamma ** reverse_steps.to(torch.float64), segment))

    @property
    def probabilities(self) -> Tensor:
        """(T,) float64, summing to 1."""
        return self.weights / self.weights.sum()

    def __call__(self, u: Tensor) -> Tensor:
        """The first `t` whose cumulative probability exceeds `u`. u: (B,) float64 in [0, 1) -> (B,) long."""
        if not bool(((u >= 0) & (u < 1)).all()):
            raise ValueError("u must lie in [0, 1)")
        return torch.searchsorted(self._cumulative.to(u.device), u.to(torch.float64), right=True)


def _within(weights: Tensor, segment: Segment | None) -> Tensor:
    """The weights with those outside the segment set to zero."""
    if segment is None:
        return weights
    inside = torch.zeros_like(weights)
    indices = segment_indices(segment, len(weights))
    inside[indices.start : indices.stop] = 1
    return weights * inside
