"""The optimizers of `--optimizer`."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn
from transformers.optimization import Adafactor

from ddecli.core.errors import UserError
from ddecli.training.settings import TrainSettings
from ddecli.training.sharding import is_sharded_launch


def build_optimizer(
    settings: TrainSettings, parameters: Iterable[nn.Parameter], device: torch.device
) -> torch.optim.Optimizer:
    """The optimizer of a run; its learning rate is set at every step.

    Raises:
        UserError: adamw8bit without bitsandbytes or a GPU, or another one than adamw in a sharded launch.
    """
    if settings.optimizer != "adamw" and is_sharded_launch():
        raise UserError(
            f"--optimizer {settings.optimizer} cannot go with a sharded (FSDP) launch, whose optimizer state is "
            "small anyway: take adamw."
        )
    parameters = list(parameters)
    if settings.optimizer == "adafactor":
        return _adafactor(settings, parameters)
    if settings.optimizer == "adamw8bit":
        return _adamw_8bit(settings, parameters, device)
    return torch.optim.AdamW(parameters, lr=settings.lr, weight_decay=settings.weight_decay, fused=True)


def _adafactor(settings: TrainSettings, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    """Adafactor (Shazeer & Stern 2018) with a rate of its own, as the public Diffusion-DPO script uses it.

    torch.optim.Adafactor always scales the rate by the size of the weights; this is the one that need not.
    """
    return Adafactor(
        parameters,
        lr=settings.lr,
        weight_decay=settings.weight_decay,
        clip_threshold=1.0,
        scale_parameter=False,
        relative_step=False,
    )


def _adamw_8bit(
    settings: TrainSettings, parameters: list[nn.Parameter], device: torch.device
) -> torch.optim.Optimizer:
    if device.type != "cuda":
        raise UserError("--optimizer adamw8bit needs a GPU: take adamw or adafactor.")
    try:
        import bitsandbytes
    except ImportError as error:
        raise UserError(
            "--optimizer adamw8bit needs bitsandbytes: pip install 'ddecli[adamw8bit]', or take adafactor."
        ) from error
    return bitsandbytes.optim.AdamW8bit(parameters, lr=settings.lr, weight_decay=settings.weight_decay)
