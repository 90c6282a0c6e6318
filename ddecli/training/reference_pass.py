"""The reference's errors ahead of training: without gradients, and without a second model in memory."""

from __future__ import annotations

import gc
import time
from dataclasses import dataclass

import torch

from ddecli.core.console import progress
from ddecli.core.errors import UserError
from ddecli.models.base import DiffusionModel, hold_frozen_in
from ddecli.objectives.registry import build_objective
from ddecli.training.errors import errors_by_row
from ddecli.training.inputs import compile_blocks, load_policy, micro_batches, open_batches, open_pairs
from ddecli.training.precision import autocast, start_processes, training_dtype
from ddecli.training.reference import MOST, ReferenceErrors, can_be_kept
from ddecli.training.run_folder import with_model, with_pairs
from ddecli.training.settings import TrainSettings
from ddecli.training.sharding import is_sharded_launch
from ddecli.training.trainer import Trainer

STEPS_A_FILE = 50
"""What a stopped pass does again at most."""


@dataclass(frozen=True)
class ReferencePass:
    """What a pass did: the folder of the errors, how many draws the run makes, and of these were read and computed."""

    kept_in: str
    draws: int
    read: int
    computed: int
    seconds: float


def make_reference_errors(settings: TrainSettings, shard: tuple[int, int] = (1, 1)) -> ReferencePass:
    """Compute and keep the reference's errors on all draws of a run; what is kept already is left as it is.

    They are those that the run would compute, to the last bit: formed in the same micro-batches, on as many processes.
    The run that follows reads them and loads no reference.

    Args:
        shard: (i, n), every n-th step from the i-th on; machines that share the pair store's folder do one each.

    Raises:
        UserError: the loss asks for no errors of a reference that can be kept, `reference` is not "keep"; as `train`.
    """
    began = time.monotonic()
    dtype = training_dtype(settings)
    accelerator = start_processes(settings, dtype)
    device, processes = accelerator.device, accelerator.num_processes
    if is_sharded_launch():
        raise UserError(
            "--reference-only keeps the whole model on every process: launch it with DDP, not with FSDP."
        )
    settings = with_model(with_pairs(settings), resume=False)
    if settings.micro_batch_size == "auto":
        settings = _with_micro_batch_of_training(settings)
    model = load_policy(settings, device, dtype)
    objective = build_objective(schedule=model.schedule, **settings.with_any_beta().model_dump())
    if not objective.needs_losers or not can_be_kept(objective, settings):
        raise UserError(
            f"The loss {settings.loss} asks for no errors of a reference that could be kept: train at once."
        )
    kept = None
    if settings.reference == "keep":
        draws = range(settings.steps * settings.batch_size)
        kept = ReferenceErrors.of(settings, draws, model, settings.batch_size // processes, device, dtype)
    if kept is None:
        raise UserError(f"--reference-only goes with --reference keep, and with at most {MOST:,} draws.")
    reference = _reference(model, dtype)
    if settings.compile:
        compile_blocks([reference])
    batches = open_batches(settings, model, open_pairs(settings.data, settings, model), device)
    steps = range(settings.steps)[shard[0] - 1 :: shard[1]]
    with progress("reference", total=len(steps), unit="steps") as advance:
        for number, step in enumerate(steps):
            first = step * settings.batch_size
            known = kept(range(first, first + settings.batch_size))
            if known is None:
                rows = []
                for some in micro_batches(settings, step, accelerator.process_index, processes):
                    with torch.no_grad(), reference.as_reference():
                        both = errors_by_row(reference, batches(some), autocast(device, dtype))
                    rows.append(both.view(2, -1).T)
                errors = torch.cat(rows).contiguous()
                kept.add(first, accelerator.gather(errors).cpu())
            else:
                kept.add(first, known.T)
            if accelerator.is_main_process and (number + 1) % STEPS_A_FILE == 0:
                kept.keep()
            advance(1)
    if accelerator.is_main_process:
        kept.keep()
    accelerator.wait_for_everyone()
    return ReferencePass(
        str(kept.folder),
        settings.steps * settings.batch_size,
        kept.read,
        kept.computed,
        time.monotonic() - began,
    )


def _with_micro_batch_of_training(settings: TrainSettings) -> TrainSettings:
    """With the one that the run would measure, which holds more in memory than this pass does."""
    trainer = Trainer(settings.with_any_beta().model_copy(update={"holdout": None}))
    found = settings.model_copy(update={"micro_batch_size": trainer.settings.micro_batch_size})
    device = trainer.accelerator.device
    del trainer
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    return found


def _reference(model: DiffusionModel, dtype: torch.dtype) -> DiffusionModel:
    """The model as it is the reference of a run; nothing is trained here, and so none is copied."""
    if model.has_lora:
        return model.reference(dtype)
    hold_frozen_in(dtype, model.unet.requires_grad_(False))
    return model
