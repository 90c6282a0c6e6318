"""What a run trains with: model, reference, objective, optimizer and data."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from ddecli.core.errors import UserError
from ddecli.data.store import PairStore
from ddecli.models.base import DiffusionModel
from ddecli.objectives.registry import build_objective
from ddecli.training.batches import Batch
from ddecli.training.errors import pair_errors
from ddecli.training.inputs import compile_blocks, load_policy, load_reference, open_batches, open_pairs
from ddecli.training.moving_reference import MovingReference
from ddecli.training.optimizers import build_optimizer
from ddecli.training.precision import autocast, start_processes, training_dtype
from ddecli.training.reference import ReferenceErrors, can_be_kept
from ddecli.training.settings import TrainSettings
from ddecli.training.sharding import is_sharded_launch, shard
from ddecli.training.weight_average import WeightAverage

OpenStore = Callable[[str | None, TrainSettings, DiffusionModel, bool], PairStore]


class Opened:
    """Model, reference, objective, optimizer and data of one run, on one of its processes.

    A micro-batch size or a beta that is to be measured is still "auto" here.
    """

    def __init__(self, settings: TrainSettings, open_store: OpenStore = open_pairs) -> None:
        self.settings = settings
        self.dtype = training_dtype(settings)
        self.accelerator = start_processes(settings, self.dtype)
        device = self.accelerator.device
        self.model = load_policy(settings, device, self.dtype)
        known = settings.with_any_beta()
        self.objective = build_objective(schedule=self.model.schedule, **known.model_dump())
        self.store = open_store(settings.data, settings, self.model, self.objective.needs_losers)
        self.batches = open_batches(settings, self.model, self.store, device)
        self.kept = self.kept_errors(settings)
        self.base = self._load_base() if self._needs_base() else None
        if settings.compile:
            compile_blocks([self.model] if self.base is None else [self.model, self.base])
        self.parameters: dict[str, nn.Parameter]
        self._distribute()
        self.reference = self._moving_reference() or self.base
        self.average = WeightAverage(self.parameters, settings.weight_ema) if settings.weight_ema else None

    @property
    def is_main(self) -> bool:
        """Whether this process writes files."""
        return self.accelerator.is_main_process

    @property
    def share(self) -> int:
        """Pairs of a batch that are this process's."""
        return self.settings.batch_size // self.accelerator.num_processes

    def kept_errors(self, settings: TrainSettings) -> ReferenceErrors | None:
        """Errors of the reference that other runs left, and where those of a run with this model go.

        None where they depend on a micro-batch that is not known yet.
        """
        if settings.micro_batch_size == "auto" or not can_be_kept(self.objective, settings):
            return None
        draws = range(settings.steps * settings.batch_size)
        return ReferenceErrors.of(
            settings, draws, self.model, self.share, self.accelerator.device, self.dtype
        )

    def _needs_base(self) -> bool:
        """Whether the model that training starts from is held at all: full training of SDXL without takes 5 GB less.

        Held-out pairs are compared with it whatever the objective's reference is.
        """
        if self.settings.holdout is not None:
            return True
        if not self.objective.needs_reference or self.settings.reference_ema:
            return False
        others = self.settings.credit_gradients is not None or self.settings.beta == "auto"
        return others or self.kept is None or not self.kept.is_whole

    def _load_base(self) -> DiffusionModel:
        if self.settings.reference_model is None:
            return self.model.reference(self.dtype)
        return load_reference(self.settings, self.model, self.accelerator.device, self.dtype)

    def _moving_reference(self) -> MovingReference | None:
        decay = self.settings.reference_ema
        return None if decay is None else MovingReference(self.model, self.parameters, decay)

    def drop_base(self) -> None:
        """Give it up where it was held to measure something, and its errors are all kept."""
        if not self._needs_base() and self.reference is self.base:
            self.reference = self.base = None

    def _distribute(self) -> None:
        """Give every process the whole U-Net (DDP), or a shard of it (FSDP2), and make the optimizer."""
        self.is_sharded = is_sharded_launch()
        for name in ("credit_gradients", "reference_ema", "sample_every"):
            if self.is_sharded and getattr(self.settings, name) is not None:
                option = "--" + name.replace("_", "-")
                raise UserError(
                    f"{option} needs the whole model on every process: leave it out with FSDP, or launch with DDP."
                )
        if self.is_sharded:
            shard(self.model.unet, self.accelerator)
        self.parameters = self.model.trainable()
        device = self.accelerator.device
        self.optimizer: Any = build_optimizer(self.settings, self.parameters.values(), device)
        if not self.is_sharded:
            self.model.unet, self.optimizer = self.accelerator.prepare(self.model.unet, self.optimizer)

    def autocast(self) -> contextlib.AbstractContextManager[None]:
        """The precision of both models' forward passes."""
        return autocast(self.accelerator.device, self.dtype)

    def sync(self, is_last: bool) -> contextlib.AbstractContextManager[None]:
        """Whole gradients meet once a step; shards at every micro-batch, or a whole gradient would have to be held."""
        if is_last or self.is_sharded:
            return contextlib.nullcontext()
        return self.accelerator.no_sync(self.model.unet)

    def loss_of(self, pairs: Batch) -> torch.Tensor:
        """The sum of their losses, whatever is known of the reference's errors; nothing is noted."""
        errors = pair_errors(self.model, self.reference, pairs, self.autocast(), self.objective)
        return self.objective(errors).loss.sum()
