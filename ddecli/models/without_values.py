"""Networks are built without values before their weights are read: that needs none of torch's compiler."""

from __future__ import annotations

from typing import Any

import torch
from torch.overrides import TorchFunctionMode

_FILLING = (torch.nn.init.normal_, torch.nn.init.uniform_)
_DRAWING = (torch.randn, torch.rand)


class WithoutValues(TorchFunctionMode):
    """Within it, what is drawn or counted on the meta device is not computed.

    Tensors there have a shape and no values. torch computes them all the same, by Python functions that import its
    compiler's symbols and sympy, a sixth of the time that loading a scorer takes. Every tensor is what it would be.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        named = kwargs or {}
        if func in _FILLING:
            tensor = args[0] if args else named["tensor"]
            if tensor.is_meta:
                return tensor
        elif func in _DRAWING and _on_meta(named):
            return torch.empty(*args, **{name: value for name, value in named.items() if name != "generator"})
        elif func is torch.arange and _on_meta(named):
            return torch.arange(*args, **named | {"device": "cpu"}).to("meta")
        elif func is torch.empty_like and len(args) == 1 and "memory_format" not in named:
            (like,) = args
            if like.is_meta and like.is_contiguous():
                return torch.empty(like.shape, **{"dtype": like.dtype, "device": like.device} | named)
        return func(*args, **named)


def _on_meta(named: dict[str, Any]) -> bool:
    """Whether the arguments ask for a new tensor on the meta device."""
    device = named.get("device")
    return device is not None and torch.device(device).type == "meta" and named.get("out") is None
