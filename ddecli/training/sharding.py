"""FSDP2: weights, gradients and optimizer state in shards over the processes (Zhao et al. 2023; torch's fully_shard).

`accelerate launch` with a configuration of FSDP version 2 asks for it. The U-Net is sharded here, by torch itself and
not by `accelerator.prepare`: that is the same on processors and GPUs, and leaves precision to autocast, so that policy
and reference round alike. Checkpoints and models are gathered whole, whatever the number of shards.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import torch
from accelerate import Accelerator
from accelerate.utils import FullyShardedDataParallelPlugin
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import CPUOffloadPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from ddecli.core.errors import UserError

SHARDED_BLOCKS = ("BasicTransformerBlock", "ResnetBlock2D")
"""Gathered one at a time: between them nearly all weights of a U-Net."""

Tree = TypeVar("Tree")


def is_sharded_launch() -> bool:
    """Whether `accelerate launch` was asked for FSDP over several processes."""
    asked = os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true"
    return asked and int(os.environ.get("WORLD_SIZE", "1")) > 1


def shard(unet: nn.Module, accelerator: Accelerator) -> None:
    """Shard a U-Net over all processes, in place. Its parameters become DTensors; name them again after it.

    Raises:
        UserError: the launch asks for FSDP version 1, or for weights that lie on the processor.
    """
    plugin = FullyShardedDataParallelPlugin()  # what the launch's configuration file says
    if plugin.fsdp_version != 2 or isinstance(plugin.cpu_offload, CPUOffloadPolicy):
        raise UserError(
            "The launch configuration asks for a kind of FSDP that is not supported: write fsdp_version: 2 and "
            "fsdp_offload_params: false into it."
        )
    mesh = init_device_mesh(accelerator.device.type, (accelerator.num_processes,))
    for block in [module for module in unet.modules() if type(module).__name__ in SHARDED_BLOCKS]:
        fully_shard(block, mesh=mesh, reshard_after_forward=plugin.reshard_after_forward)
    fully_shard(unet, mesh=mesh)


def gathered(value: Tree, keep: bool) -> Tree:
    """Whole tensors in place of shards, on the processor, anywhere in dictionaries and lists.

    Every process has to call it; only those that `keep` what they gather hold it, one tensor at a time otherwise.
    """
    if isinstance(value, dict):
        return {key: gathered(part, keep) for key, part in value.items()}  # type: ignore[return-value]
    if isinstance(value, list):
        return [gathered(part, keep) for part in value]  # type: ignore[return-value]
    if isinstance(value, DTensor):
        whole = value.full_tensor()
        return whole.cpu() if keep else whole.new_empty(0)  # type: ignore[return-value]
    return value


def shards_of(values: dict[str, Tensor], parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A checkpoint's whole tensors as this process's shards of the parameters of the same names."""
    return {name: _shard_of(value, parameters.get(name)) for name, value in values.items()}


def optimizer_shards(state: dict[str, Any], parameters: Sequence[Tensor]) -> dict[str, Any]:
    """An optimizer's whole state dict with its tensors sharded, and laid out, as the parameters they belong to.

    Fused optimizers read both in the order of memory, and a checkpoint may come from a run of another layout.
    """
    fitting = {
        number: {
            key: _laid_out(_shard_of(value, parameters[number]), parameters[number])
            for key, value in one.items()
        }
        for number, one in state["state"].items()
    }
    return state | {"state": fitting}


def _shard_of(value: Any, parameter: Tensor | None) -> Any:
    """The shard of a whole tensor, if the parameter is sharded and of that shape; else the value itself."""
    if isinstance(parameter, DTensor) and isinstance(value, Tensor) and value.shape == parameter.shape:
        whole = value.to(parameter.device_mesh.device_type).contiguous()
        return distribute_tensor(whole, parameter.device_mesh, parameter.placements)
    return value


def _laid_out(value: Any, parameter: Tensor) -> Any:
    """A tensor of a parameter's shape with the parameter's strides; anything else as it is."""
    if (
        not isinstance(value, Tensor)
        or value.shape != parameter.shape
        or value.stride() == parameter.stride()
    ):
        return value
    return torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def whole_number(value: Tensor) -> float:
    """A scalar that may be spread over the processes."""
    return float(value.full_tensor() if isinstance(value, DTensor) else value)
