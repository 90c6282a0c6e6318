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
    attention: str | None = None,
    **options: Any,
) -> Model:
    """A model with exactly these weights, by its own names.

    Args:
        attention: which of transformers' implementations, its choice if None.
        options: what the model's class takes beside the configuration.

    Raises:
        ValueError: they are others than its own, or of other shapes.
    """
    with torch.device("meta"):  # a configuration of another model may be of one that no memory holds
        empty = kind(config, **options)
    expected = {name: weight.shape for name, weight in empty.named_parameters()}
    given = {name: weight.shape for name, weight in weights.items()}
    for name in sorted(expected.keys() | given.keys()):
        if name not in expected or name not in given:
            raise ValueError(f"{name} is {'missing' if name in expected else 'unexpected'}")
        if expected[name] != given[name]:
            raise ValueError(f"{name} has shape {tuple(given[name])} and not {tuple(expected[name])}")
    return kind.from_pretrained(
        None, config=config, state_dict=weights, dtype=dtype, attn_implementation=attention, **options
    )
