"""A training run, from its settings to its model."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from ddecli.core.console import console
from ddecli.core.errors import Stopped, UserError
from ddecli.training.alarms import Alarms
from ddecli.training.micro_batch import LESS_MEMORY
from ddecli.training.record import Brake
from ddecli.training.run_folder import (
    as_begun,
    clear,
    is_finished,
    is_other_run,
    with_model,
    with_pairs,
)
from ddecli.training.run_record import RunRecord, TrainSummary
from ddecli.training.settings import TrainSettings
from ddecli.training.stop import stop_after_step
from ddecli.training.trainer import Trainer
from ddecli.training.watcher import Watch, Watcher


def train(
    settings: TrainSettings, resume: bool = False, overwrite: bool = False, watch: Watch = Watcher
) -> TrainSummary:
    """Run a training run from its settings to a model that stock diffusers loads.

    A finished run that is gone on with stays as it is, to the last byte.

    Args:
        resume: go on from the newest checkpoint in the run folder; without one, start from the beginning.
        overwrite: as `resume`, but replace a run of other settings or other pairs.
        watch: makes the one who looks on.

    Raises:
        UserError: unusable settings or data, a run folder that holds another run, or a run that breaks the model.
        Stopped: Ctrl-C or SIGTERM came, and the step that was being made is in a checkpoint.
    """
    out, checkpoints = settings.folder, settings.folder / "checkpoints"
    settings = with_model(with_pairs(settings), resume)
    replaces = is_other_run(settings, resume, overwrite)
    if not replaces:
        settings = as_begun(settings)
    if not replaces and is_finished(settings):
        if os.environ.get("RANK", "0") == "0":
            said = f"{out} is finished: its {settings.steps} steps are done and it is left as it is."
            console.print(said)
        return TrainSummary(str(out), settings.steps)
    trainer = Trainer(settings)
    if replaces and trainer.is_main:
        clear(out)
    trainer.accelerator.wait_for_everyone()
    if resume or overwrite:
        trainer.resume(checkpoints)
        if trainer.is_main:
            _say_from_where(settings, trainer.first_step, replaces, resume)
    trainer.accelerator.wait_for_everyone()
    alarms = Alarms(settings, trainer.first_step, writes=trainer.is_main)
    with watch(trainer, alarms) as watcher:
        return _steps(trainer, checkpoints, watcher, alarms)


def _steps(trainer: Trainer, checkpoints: Path, watcher: Watcher, alarms: Alarms) -> TrainSummary:
    """Take the steps that are left, and write the model."""
    settings = trainer.settings
    brake = Brake(checkpoints, settings.max_winner_error, settings.loss)
    told = 0
    with RunRecord(trainer, alarms) as record, stop_after_step() as stop:
        for step in range(trainer.first_step, settings.steps):
            began = time.monotonic()
            with _put_away_if_full(trainer, checkpoints, step):
                metrics = trainer.step(step, brake)
            said = record.add(step, metrics, time.monotonic() - began, trainer.evaluate(step))
            told = stop.told(trainer.accelerator)
            with record.aside():
                watcher.after_step(step, said, stops=bool(told))
            if (told or (step + 1) % settings.checkpoint_every == 0) and step + 1 < settings.steps:
                trainer.save(checkpoints, step + 1)
            if told:
                break
    if told and step + 1 < settings.steps:
        trainer.accelerator.wait_for_everyone()  # a launcher ends the others when one process has ended
        raise Stopped(told, f"after step {step + 1} of {settings.steps}; its checkpoint is written")
    summary = record.finish()
    watcher.end()
    if told:
        raise Stopped(told, f"after the last of {settings.steps} steps; the model is written")
    return summary


@contextlib.contextmanager
def _put_away_if_full(trainer: Trainer, checkpoints: Path, step: int) -> Iterator[None]:
    """For the block that makes a step: where it does not fit the memory, the steps before it are kept.

    Raises:
        UserError: it does not fit.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        alone = trainer.accelerator.num_processes == 1
        if alone and step > 0 and not trainer.is_updating:  # else the weights are of no step, or others wait
            trainer.save(checkpoints, step)
        raise UserError(_too_much(trainer.settings, trainer.accelerator.device, step)) from error


def _too_much(settings: TrainSettings, device: torch.device, step: int) -> str:
    size = settings.micro_batch_size
    said = f"Step {step + 1} does not fit the memory of {device} with --micro-batch-size {size}"
    if size != "auto" and size > 1:
        return f"{said}, which other programs may share: go on with --resume --micro-batch-size {size // 2}."
    return f"{said}: {LESS_MEMORY}; or end what else takes memory there, and go on with --resume."


def _say_from_where(settings: TrainSettings, first_step: int, replaces: bool, resume: bool) -> None:
    """Say from which step a run goes on that was asked to, and why if it is the first."""
    out = settings.folder
    if first_step:
        console.print(f"{out} goes on from step {first_step} of {settings.steps}.")
    elif replaces:
        console.print(
            f"{out} held a run of other settings or pairs and is replaced: training begins at step 0."
        )
    elif (out / "run.yaml").exists():
        console.print(f"{out} holds no checkpoint: training begins at step 0.")
    elif resume:
        console.print(f"{out} holds no run yet: training begins at step 0.")
