"""Which device and which precision a command works with."""

from __future__ import annotations

import contextlib
import functools
import os
from pathlib import Path

import torch

from ddecli.core.console import console
from ddecli.core.errors import UserError

NVIDIA = Path("/proc/driver/nvidia/version")
"""Is there where the driver of an NVIDIA GPU is loaded."""


def choose_device(name: str) -> torch.device:
    """`auto` is the GPU if torch sees one, else the processor.

    Of several processes that were launched together, each gets the GPU of its number on its machine.

    Raises:
        UserError: `cuda` is asked for and torch sees no GPU, or there are more processes than GPUs.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError(
            "--device cuda: torch sees no GPU here. Use --device cpu, or install a CUDA build of torch."
        )
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
        if name == "cpu":
            _say_of_idle_gpu()
    if name == "cuda" and "LOCAL_RANK" in os.environ:
        number, gpus = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if number >= gpus:
            raise UserError(
                f"Process {number + 1} of this machine finds no GPU of its own, torch sees {gpus}: launch as many "
                "processes as there are GPUs (--num_processes)."
            )
        return torch.device("cuda", number)
    return torch.device(name)


@functools.cache
def _say_of_idle_gpu() -> None:
    """Say once that there is a GPU which torch cannot use: the processor is ten to a hundred times slower."""
    if (
        not (NVIDIA.exists() and os.environ.get("RANK", "0") == "0")
        or os.environ.get("CUDA_VISIBLE_DEVICES") == ""
    ):
        return
    built = torch.version.cuda
    why = (
        f"its driver is too old for the CUDA {built} that it was built with, or not running"
        if built
        else "it was built without CUDA"
    )
    console.print(
        f"This machine has an NVIDIA GPU that torch {torch.__version__} cannot use: {why}. The processor is used; "
        "https://pytorch.org/get-started says which torch to install (--device cpu is silent).",
        style="yellow",
    )


def share_of_processes() -> tuple[int, int]:
    """(I, N): this is the I-th, from 1, of N processes that `accelerate launch` or torchrun started; else (1, 1)."""
    return int(os.environ.get("RANK", 0)) + 1, int(os.environ.get("WORLD_SIZE", 1))


def choose_dtype(precision: str, device: torch.device) -> torch.dtype:
    """Precision of weights that are only evaluated; `auto` is float16 on a GPU, float32 on a processor."""
    if precision == "auto":
        precision = "float16" if device.type == "cuda" else "float32"
    return {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}[precision]


def exact_float32() -> contextlib.AbstractContextManager[None]:
    """Within it, float32 convolutions on a GPU are float32: by default cuDNN rounds them to TF32."""
    return torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
