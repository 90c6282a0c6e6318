"""The moving average of the trained weights: what `--weight-ema` saves, and what a reference that moves is."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn


class WeightAverage:
    """Exponential moving average of parameters, float32, on their device.

    values: the averages by name; at first the weights that training starts from.

    If it grows, the decay of optimizer step `n` (from 0) is `min(decay, (1 + n) / (10 + n))`: short runs are averaged
    over a part of their own length, not over weights that have hardly moved.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], decay: float, grows: bool = True) -> None:
        self.parameters = parameters
        self.decay, self.grows = decay, grows
        self.values: dict[str, Tensor] = {name: value.detach().clone() for name, value in parameters.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move towards the weights after optimizer step `step`."""
        decay = min(self.decay, (1 + step) / (10 + step)) if self.grows else self.decay
        for name, parameter in self.parameters.items():
            self.values[name].lerp_(parameter, 1 - decay)

    def load(self, values: Mapping[str, Tensor]) -> None:
        """Take over a checkpoint's averages."""
        for name, value in self.values.items():
            value.copy_(values[name])

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Within it the parameters are the averages; after it what they were, to the last bit."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        for name, parameter in self.parameters.items():
            parameter.data, self.values[name] = self.values[name], parameter.data
