"""In which precision a run is computed, and the processes it runs in.

Weights that are trained, optimizer state and errors are float32 always; `--precision` is that of the forward and
backward passes, by autocast, the same for policy and reference. Matrices that are not trained are held in it.
"""

from __future__ import annotations

import contextlib

import torch
from accelerate import Accelerator
from torch import Tensor

from ddecli.core.devices import choose_device, choose_dtype
from ddecli.core.errors import UserError
from ddecli.training.settings import TrainSettings
from ddecli.training.sharding import is_sharded_launch


def training_dtype(settings: TrainSettings) -> torch.dtype:
    """The precision asked for; `auto` is bfloat16 on a GPU that has it, else float32.

    Raises:
        UserError: float16 where its gradients cannot be scaled.
    """
    device = choose_device(settings.device)
    if settings.precision == "auto":
        # Older GPUs emulate bfloat16: slower than float32.
        has_it = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if has_it else torch.float32
    dtype = choose_dtype(settings.precision, device)
    if dtype == torch.float16 and device.type == "cpu":
        raise UserError("--precision float16 trains on GPUs only: take bfloat16 or float32 on a processor.")
    if dtype == torch.float16 and is_sharded_launch():
        raise UserError("--precision float16 cannot go with a sharded (FSDP) launch: take bfloat16.")
    return dtype


def start_processes(settings: TrainSettings, dtype: torch.dtype) -> Accelerator:
    """This process's link to the others.

    accelerate scales the gradients of float16; other precisions are autocast's alone, so it is told of none.

    Raises:
        UserError: the batch cannot be shared by the processes evenly.
    """
    if torch.cuda.is_available():  # TensorFloat-32 where float32 is asked for: policy and reference alike
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.backends.cudnn.allow_tf32 = True
    mixed = "fp16" if dtype == torch.float16 else "no"
    accelerator = Accelerator(cpu=settings.device == "cpu", mixed_precision=mixed)
    if settings.batch_size % accelerator.num_processes:
        raise UserError(
            f"--batch-size {settings.batch_size} cannot be shared by {accelerator.num_processes} processes evenly."
        )
    return accelerator


def autocast(device: torch.device, dtype: torch.dtype) -> contextlib.AbstractContextManager[None]:
    """The forward passes' precision; float32 is left as it is."""
    return torch.autocast(device.type, dtype, enabled=dtype != torch.float32)


def scaler_state(accelerator: Accelerator) -> dict[str, Tensor]:
    """The state of float16's gradient scaler, for the checkpoint; empty in other precisions."""
    if accelerator.scaler is None:
        return {}
    return {
        key: torch.tensor(value, dtype=torch.float64)
        for key, value in accelerator.scaler.state_dict().items()
    }


def load_scaler_state(accelerator: Accelerator, state: dict[str, Tensor]) -> None:
    """Go on with a saved scale."""
    if accelerator.scaler is not None and state:
        kinds = accelerator.scaler.state_dict()
        accelerator.scaler.load_state_dict(
            {key: type(kinds[key])(value.item()) for key, value in state.items()}
        )
