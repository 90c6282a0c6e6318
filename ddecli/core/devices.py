"""Which device and which precision a command works with."""

from __future__ import annotations

import contextlib

import torch

from ddecli.core.errors import UserError


def choose_device(name: str) -> torch.device:
    """`auto` is the GPU if torch sees one, else the processor.

    Raises:
        UserError: `cuda` is asked for and torch sees no GPU.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError(
            "--device cuda: torch sees no GPU here. Use --device cpu, or install a CUDA build of torch."
        )
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def choose_dtype(precision: str, device: torch.device) -> torch.dtype:
    """Precision of weights that are only evaluated; `auto` is float16 on a GPU, float32 on a processor."""
    if precision == "auto":
        precision = "float16" if device.type == "cuda" else "float32"
    return {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}[precision]


def exact_float32() -> contextlib.AbstractContextManager[None]:
    """Within it, float32 convolutions on a GPU are float32: by default cuDNN rounds them to TF32."""
    return torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
