"""Everything random about training, as a pure function of the seed and the draw's number.

A counter-based generator (Philox, Salmon et al. 2011) makes this cheap: its key comes from the seed, its
256-bit counter names the stream and the draw, so any draw is reached at once, in any order, by any process.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ddecli.core.seeds import seed_of

PERMUTATION, TIMESTEP, PROMPT_DROP, NOISE = range(4)
"""The streams. Each has its own counter word: none ever reads another's numbers."""


@dataclass(frozen=True)
class DrawBatch:
    """What is random about `B` training samples; both sides of a pair share `t` and `eps`."""

    pair_index: Tensor  # (B,) long, rows of the pair store
    t: Tensor  # (B,) long, diffusers' timestep indices 0..T-1
    eps: Tensor  # (B, C, H, W) float32, standard normal
    drop_prompt: Tensor  # (B,) bool, train this sample on the empty prompt


class Draws:
    """Draws of one run: draw `n` depends on `(seed, n)` alone.

    Every epoch (`num_pairs` draws) visits each pair once, in an order of its own. The pair, the number `u`
    from which `sampler` makes `t`, and `eps` do not depend on the sampler, the objective or `drop_prompt`:
    runs with the same seed are compared on the same draws.
    """

    def __init__(
        self,
        num_pairs: int,
        seed: int,
        sampler: Callable[[Tensor], Tensor],
        latent_shape: Sequence[int],
        drop_prompt: float = 0.1,
    ) -> None:
        """Set up the draws.

        Args:
            num_pairs: pairs in the store, at least 1.
            seed: the run's seed.
            sampler: a `TimestepSampler`: `u` (B,) float64 in [0, 1) -> `t` (B,) long.
            latent_shape: (C, H, W).
            drop_prompt: probability of training on the empty prompt.
        """
        if num_pairs < 1:
            raise ValueError("num_pairs must be at least 1")
        self.num_pairs = num_pairs
        self.sampler = sampler
        self.latent_shape = tuple(latent_shape)
        self.drop_prompt = drop_prompt
        self._key = np.array([seed_of("draws", seed), 0], dtype=np.uint64)
        self._orders: dict[int, np.ndarray] = {}

    def batch(self, numbers: Sequence[int]) -> DrawBatch:
        """Draws with the given numbers, in that order; global batch `i` is `range(i * B, (i + 1) * B)`."""
        streams = _Streams(self._key)
        size = len(numbers)
        pairs = np.empty(size, dtype=np.int64)
        u = np.empty(size, dtype=np.float64)
        drop = np.empty(size, dtype=bool)
        eps = np.empty((size, math.prod(self.latent_shape)), dtype=np.float32)
        for row, number in enumerate(numbers):
            epoch, position = divmod(number, self.num_pairs)
            pairs[row] = self._order(epoch)[position]
            u[row] = streams.at(TIMESTEP, number).random()
            drop[row] = streams.at(PROMPT_DROP, number).random() < self.drop_prompt
            streams.at(NOISE, number).standard_normal(out=eps[row], dtype=np.float32)
        return DrawBatch(
            pair_index=torch.from_numpy(pairs),
            t=self.sampler(torch.from_numpy(u)),
            eps=torch.from_numpy(eps).view(size, *self.latent_shape),
            drop_prompt=torch.from_numpy(drop),
        )

    def _order(self, epoch: int) -> np.ndarray:
        """The epoch's permutation of the pairs (kept for the last two epochs: a batch may touch both)."""
        if epoch not in self._orders:
            if len(self._orders) > 1:
                self._orders.pop(next(iter(self._orders)))
            self._orders[epoch] = _Streams(self._key).at(PERMUTATION, epoch).permutation(self.num_pairs)
        return self._orders[epoch]


class _Streams:
    """One Philox generator that is moved to wherever a draw's numbers lie."""

    def __init__(self, key: np.ndarray) -> None:
        self._philox = np.random.Philox(key=key)
        self._generator = np.random.Generator(self._philox)
        self._state = self._philox.state

    def at(self, stream: int, number: int) -> np.random.Generator:
        """The generator at the start of draw `number` of a stream: 2^128 blocks are its own."""
        self._state["state"]["counter"][:] = (0, 0, number, stream)
        self._state["buffer_pos"] = 4  # the buffer of four numbers is empty
        self._state["has_uint32"] = 0
        self._philox.state = self._state
        return self._generator
