"""A transformers model with exactly the weights of a state dict."""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel

Model = TypeVar("Model", bound=PreTrainedModel)


def filled(
    kind: type[Model],
    config: PreTrainedConfig,
    weights: dict[str, Tensor],
    dtype: torch.dtype = torch.float32,
    **options: Any,
) -> Model:
    """A model with exactly these weights, by its own names.

    Raises:
        ValueError: they are others than its own.
        RuntimeError: one has another shape.
    """
    model, found = kind.from_pretrained(
        None, config=config, state_dict=weights, dtype=dtype, output_loading_info=True, **options
    )
    wrong = sorted([*found["missing_keys"], *found["unexpected_keys"]])
    if wrong:
        raise ValueError(f"{wrong[0]} is missing or unexpected")
    return model
