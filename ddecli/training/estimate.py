"""`ddecli train --estimate`: a few real steps, then the time and memory of the whole run and what would help."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from ddecli.core.console import progress
from ddecli.data.store import PairStore
from ddecli.models.base import DiffusionModel
from ddecli.training.errors import errors_by_row
from ddecli.training.kept import kept_beside, said
from ddecli.training.random_pairs import RandomPairs
from ddecli.training.record import Brake
from ddecli.training.run_folder import with_model, with_pairs
from ddecli.training.run_record import peak_memory_mb
from ddecli.training.settings import TrainSettings
from ddecli.training.trainer import Trainer

WARM_UP, MEASURED = 1, 3


@dataclass(frozen=True)
class CostEstimate:
    """What a run would take.

    Attributes:
        hours: of all steps, without the reference's forward passes on the draws that are read.
        cost: of these hours; None where no price was given.
        micro_batch_size: that the steps were made with; where it was left open, it was measured first.
        data_share, reference_share: of the time of one step that asks the reference.
        draws_read: of the run, those for which the reference's errors are kept already.
        draws_computed: the others.
    """

    steps: int
    micro_batch_size: int
    seconds_per_step: float
    hours: float
    cost: float | None
    pairs_per_second: float
    peak_memory_mb: float
    data_share: float
    reference_share: float
    draws_read: int
    draws_computed: int
    advice: list[str]


def estimate(settings: TrainSettings, price_per_hour: float | None = None) -> CostEstimate:
    """Run a few steps of a run without keeping anything, and extrapolate.

    Large batches are measured on at most eight micro-batches a process and scaled. Without `data` the pairs are noise
    of the model's own shapes: a step takes the same time, but for the reading of a store.

    Args:
        price_per_hour: of this machine, in any money.
    """
    short = {"steps": WARM_UP + MEASURED, "reference": "compute"}
    opened = {} if settings.data is not None else {"open_store": _noise}
    trainer = Trainer(settings.with_any_beta().model_copy(update=short), **opened)
    size = trainer.settings.micro_batch
    fewer = {"batch_size": min(settings.batch_size, 8 * size * trainer.accelerator.num_processes)}
    measured = trainer.settings = trainer.settings.model_copy(update=fewer)
    is_open = settings.micro_batch_size == "auto"
    settings = settings.model_copy(update={"micro_batch_size": size})
    with (
        tempfile.TemporaryDirectory() as scratch,
        progress("estimating", measured.steps, unit="step") as advance,
    ):
        brake = Brake(Path(scratch), settings.max_winner_error)
        for step in range(measured.steps):
            if step == WARM_UP:
                _wait(trainer.accelerator.device)
                began = time.monotonic()
            trainer.step(step, brake)
            advance()
    _wait(trainer.accelerator.device)
    seconds = (time.monotonic() - began) / MEASURED
    data, reference = _parts(trainer)
    seconds_per_step = seconds * settings.batch_size / measured.batch_size
    asks = trainer.objective.needs_reference
    kept = None
    if asks and settings.data is not None and not settings.is_game:  # a game's losers are still to be drawn
        kept = trainer.kept_errors(with_model(with_pairs(settings), resume=False))
    draws = settings.steps * settings.batch_size if asks else 0
    read = kept.there if kept else 0
    saved = read * reference / measured.batch_size
    advice = _advice(settings, trainer, data / seconds, is_open)
    if read:
        advice.append(said(read, draws, kept_beside(Path(str(settings.data))), settings))
    hours = (settings.steps * seconds_per_step - saved) / 3600
    return CostEstimate(
        steps=settings.steps,
        micro_batch_size=size,
        seconds_per_step=seconds_per_step,
        hours=hours,
        cost=None if price_per_hour is None else hours * price_per_hour,
        pairs_per_second=measured.batch_size / seconds,
        peak_memory_mb=peak_memory_mb(trainer.accelerator.device),
        data_share=data / seconds,
        reference_share=reference / seconds if asks else 0.0,
        draws_read=read,
        draws_computed=draws - read,
        advice=advice,
    )


def _noise(
    folder: str | None, settings: TrainSettings, model: DiffusionModel, need_losers: bool
) -> PairStore:
    return RandomPairs(model)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def _parts(trainer: Trainer) -> tuple[float, float]:
    """Seconds a step that go into reading the data and into the reference's forward passes."""
    data = reference = 0.0
    for draws in trainer.micro_batches(0):
        began = time.monotonic()
        batch = trainer.batches(draws)
        _wait(trainer.accelerator.device)
        data += time.monotonic() - began
        if trainer.reference is None:
            continue
        began = time.monotonic()
        with torch.no_grad(), trainer.reference.as_reference():
            errors_by_row(trainer.reference, batch, trainer.autocast())
        _wait(trainer.accelerator.device)
        reference += time.monotonic() - began
    return data, reference


def _advice(
    settings: TrainSettings, trainer: Trainer, data_share: float, is_tried: bool = False
) -> list[str]:
    """What would help. is_tried: whether the micro-batch is the largest that fits."""
    device = trainer.accelerator.device
    advice = []
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info()
        if not is_tried and free > total / 2 and settings.micro_batch < settings.batch_size:
            advice.append(
                f"{free / 2**30:.0f} GiB of GPU memory are free: --micro-batch-size "
                f"{2 * settings.micro_batch} would be faster."
            )
        if trainer.dtype == torch.float32:
            advice.append("--precision bfloat16 would be about twice as fast.")
    elif torch.cuda.is_available():
        advice.append("There is a GPU: --device cuda.")
    if not settings.lora and trainer.objective.needs_reference:
        advice.append("--lora 16 needs no second U-Net and no optimizer state of the whole one: less memory.")
    if data_share > 0.2:
        advice.append("Reading the pair store takes long: put it on a local disk.")
    return advice
