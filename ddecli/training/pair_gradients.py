"""The norm of the gradient of a pair's own loss in the weights: credit without the unit of an error."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from ddecli.training.batches import Batch


def pair_gradient_norms(
    draws: range,
    batch: Batch,
    every: int,
    loss_of: Callable[[Batch], Tensor],
    weights: Sequence[nn.Parameter],
    scale: float = 1.0,
) -> Tensor:
    """Norms of one draw in `every`.

    Which draws does not depend on how the work is cut. Each takes a forward and a backward pass of its own, which
    leave the gradient of the step alone.

    Args:
        loss_of: a pair -> its loss, a scalar.
        scale: what a loss is multiplied by for the backward pass: small gradients are no numbers of float16.

    Returns:
        (B,) float64, NaN where it is not measured.
    """
    norms = torch.full((len(draws),), torch.nan, dtype=torch.float64, device=batch.t.device)
    for row, number in enumerate(draws):
        if number % every == 0:
            parts = torch.autograd.grad(loss_of(batch.pair(row)) * scale, weights, allow_unused=True)
            each = torch.stack([part.double().norm() for part in parts if part is not None])
            norms[row] = each.norm() / scale
    return norms
