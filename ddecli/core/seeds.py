"""Seeds as pure functions of named parts, so that nothing depends on order, batch size or processes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def seed_of(*parts: int | str) -> int:
    """A 63-bit seed that depends on every part and on nothing else (SHA-256 of their text)."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def numpy_rng(*parts: int | str) -> np.random.Generator:
    """A NumPy generator seeded with `seed_of(*parts)`."""
    return np.random.Generator(np.random.Philox(seed_of(*parts)))


def starting_noise(shape: Sequence[int], generator: torch.Generator) -> torch.Tensor:
    """The noise that an image begins as, float32 on the CPU: what its generator draws first."""
    import torch

    return torch.randn(tuple(shape), generator=generator)


def torch_generator(*parts: int | str) -> torch.Generator:
    """A CPU torch generator seeded with `seed_of(*parts)`; CPU, so that every device draws the same noise."""
    import torch

    return torch.Generator().manual_seed(seed_of(*parts))
