"""The training loop: draw, errors, objective, backward, step, record."""

from __future__ import annotations

import contextlib
import resource
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from accelerate import Accelerator
from torch import nn

from ddecli.core.console import progress
from ddecli.core.devices import choose_device, choose_dtype
from ddecli.core.errors import UserError
from ddecli.core.files import atomic_folder, make_folder, sha256_file, write_json, write_text
from ddecli.core.manifest import machine, versions
from ddecli.data.draws import Draws
from ddecli.data.store import PairStore
from ddecli.models.base import DiffusionModel, load_unet_weights
from ddecli.models.load import load_model
from ddecli.objectives.base import Objective
from ddecli.objectives.presets import build_objective, build_sampler
from ddecli.training.batches import Batches
from ddecli.training.checkpoint import load_checkpoint, save_checkpoint
from ddecli.training.errors import pair_errors
from ddecli.training.record import Alarm, CreditMap, MetricsLog, columns_of, errors_of, step_metrics
from ddecli.training.settings import TrainSettings, read_settings


@dataclass(frozen=True)
class TrainSummary:
    """What a run came to."""

    out: str
    steps: int
    seconds: float
    pairs_per_second: float
    peak_memory_mb: float
    first_loss: float | None  # None if no step was left to do
    last_loss: float | None
    last_accuracy: float | None  # share of the last batch's pairs with a positive logit


class Trainer:
    """Model, reference, objective, optimizer and data of one run, on one of its processes."""

    def __init__(self, settings: TrainSettings) -> None:
        self.settings = settings
        choose_device(settings.device)
        self.dtype = _precision(settings)
        self.accelerator = Accelerator(
            cpu=settings.device == "cpu",
            mixed_precision={"float16": "fp16", "bfloat16": "bf16"}.get(
                str(self.dtype).removeprefix("torch."), "no"
            ),
        )
        processes = self.accelerator.num_processes
        if settings.batch_size % processes:
            raise UserError(
                f"--batch-size {settings.batch_size} cannot be shared by {processes} processes evenly."
            )
        device = self.accelerator.device
        self.model = _load(settings, device)
        self.store = PairStore.open(Path(settings.data or ""), self.model.fingerprint)
        if self.store.latent_shape != self.model.latent_shape:
            raise UserError(
                f"{settings.data} holds latents of shape {self.store.latent_shape}, the model works on "
                f"{self.model.latent_shape}: prepare the pairs again with --model {settings.model}."
            )
        self.reference = self.model.reference(self.dtype)
        self.objective: Objective = build_objective(
            settings.loss, self.model.schedule, settings.beta, settings.ema_decay, settings.correction_bins
        )
        T = self.model.schedule.num_timesteps
        sampler = build_sampler(settings.loss, T, settings.segment, settings.gamma)
        draws = Draws(
            len(self.store), settings.seed, sampler, self.store.latent_shape, settings.prompt_dropout
        )
        self.batches = Batches(self.store, draws, device)
        self.parameters: dict[str, nn.Parameter] = self.model.trainable()
        optimizer = torch.optim.AdamW(
            list(self.parameters.values()), lr=settings.lr, weight_decay=settings.weight_decay, fused=True
        )
        self.model.unet, self.optimizer = self.accelerator.prepare(self.model.unet, optimizer)
        self.credit = CreditMap(settings.steps, T)
        self.first_step = 0

    def autocast(self) -> contextlib.AbstractContextManager[None]:
        """The precision of both models' forward passes."""
        return torch.autocast(self.accelerator.device.type, self.dtype, enabled=self.dtype != torch.float32)

    def learning_rate(self, step: int) -> float:
        """Linear warm-up, then constant; a pure function of the step."""
        return self.settings.lr * min(1.0, (step + 1) / max(1, self.settings.warmup))

    def micro_batches(self, step: int) -> list[range]:
        """This process's share of the draws of global batch `step`, cut into micro-batches."""
        share = self.settings.batch_size // self.accelerator.num_processes
        first = step * self.settings.batch_size + self.accelerator.process_index * share
        size = self.settings.micro_batch_size
        return [range(start, min(start + size, first + share)) for start in range(first, first + share, size)]

    def step(self, step: int, alarm: Alarm) -> dict[str, float | None]:
        """One optimizer step; returns its metrics."""
        settings, accelerator = self.settings, self.accelerator
        micro_batches = self.micro_batches(step)
        seen = []
        for number, draws in enumerate(micro_batches):
            batch = self.batches(draws)
            is_last = number == len(micro_batches) - 1
            with contextlib.nullcontext() if is_last else accelerator.no_sync(self.model.unet):
                errors = pair_errors(
                    self.model, self.reference, batch, self.autocast(), self.objective.winners_only
                )
                output = self.objective(errors)
                # Processes average their gradients: the sum over all of them, divided by the global batch.
                mean_loss = output.loss.sum() * accelerator.num_processes / settings.batch_size
                accelerator.backward(mean_loss)
            seen.append(columns_of(errors, output))
        columns = accelerator.gather(torch.cat(seen)).cpu()  # the whole batch, in the order of its draws
        metrics = step_metrics(columns)
        gradient_norm = float(
            accelerator.clip_grad_norm_(list(self.parameters.values()), settings.max_grad_norm)
        )
        alarm.check(step, metrics, gradient_norm)
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate(step)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.objective.table is not None:
            self.objective.table.update(errors_of(columns))
        self.credit.add(step, columns, self.objective.table)
        return metrics | {"gradient_norm": gradient_norm, "lr": self.learning_rate(step)}

    def save(self, folder: Path, step: int) -> None:
        """Write a checkpoint after `step` optimizer steps."""
        table = self.objective.table
        progress_state = {f"credit.{name}": value for name, value in self.credit.state().items()}
        if table is not None:
            progress_state |= {f"table.{name}": value for name, value in table.state_dict().items()}
        weights = {name: value.detach() for name, value in self.parameters.items()}
        save_checkpoint(folder, step, weights, self.optimizer.state_dict(), progress_state)

    def resume(self, folder: Path) -> None:
        """Go on from the newest whole checkpoint, if there is one."""
        found = load_checkpoint(folder, self.accelerator.device)
        if found is None:
            return
        self.first_step, weights, optimizer, state = found
        load_unet_weights(self.model.pipeline.unet, weights)
        self.optimizer.load_state_dict(optimizer)
        parts: dict[str, dict[str, torch.Tensor]] = {"credit": {}, "table": {}}
        for name, value in state.items():
            part, key = name.split(".", 1)
            parts[part][key] = value
        self.credit.load(parts["credit"])
        if self.objective.table is not None:
            self.objective.table.load_state_dict(parts["table"])


def train(settings: TrainSettings, resume: bool = False, overwrite: bool = False) -> TrainSummary:
    """Run a training run from its settings to a model that stock diffusers loads.

    Args:
        resume: go on from the newest checkpoint in the run folder; without one, start from the beginning.
        overwrite: as `resume`, but replace a run of other settings or other pairs.

    Raises:
        UserError: unusable settings or data, a run folder that holds another run, or a run that breaks the model.
    """
    out, checkpoints = settings.folder, settings.folder / "checkpoints"
    settings = _with_pairs(settings)
    is_other_run = _is_other_run(settings, resume, overwrite)
    trainer = Trainer(settings)
    main = trainer.accelerator.is_main_process
    if is_other_run and main:
        _clear(out)
    trainer.accelerator.wait_for_everyone()
    if resume or overwrite:
        trainer.resume(checkpoints)
    trainer.accelerator.wait_for_everyone()
    if main:
        write_text(out / "run.yaml", yaml.safe_dump(settings.model_dump(), sort_keys=False))
        log = MetricsLog(out / "metrics.jsonl", trainer.first_step)
    alarm = Alarm(checkpoints, settings.max_winner_error)
    began = time.monotonic()
    history: list[dict[str, Any]] = []
    with progress(f"training {settings.loss}", settings.steps, trainer.first_step, "step") as advance:
        for step in range(trainer.first_step, settings.steps):
            step_began = time.monotonic()
            metrics = {"step": step} | trainer.step(step, alarm)
            history = [*history[:1], metrics]
            if main:
                metrics |= {
                    "pairs_per_second": settings.batch_size / (time.monotonic() - step_began),
                    "memory_mb": peak_memory_mb(),
                }
                log.write(metrics)
                advance(note=_note(metrics))
                if (step + 1) % settings.checkpoint_every == 0 and step + 1 < settings.steps:
                    trainer.save(checkpoints, step + 1)
    seconds = time.monotonic() - began
    done = settings.steps - trainer.first_step
    summary = TrainSummary(
        out=str(out),
        steps=settings.steps,
        seconds=seconds,
        pairs_per_second=done * settings.batch_size / max(seconds, 1e-9),
        peak_memory_mb=peak_memory_mb(),
        first_loss=history[0]["loss"] if history else None,
        last_loss=history[-1]["loss"] if history else None,
        last_accuracy=history[-1]["implicit_accuracy"] if history else None,
    )
    if main:
        log.close()
        _finish(trainer, summary)
    trainer.accelerator.wait_for_everyone()
    return summary


def _finish(trainer: Trainer, summary: TrainSummary) -> None:
    """Write what a finished run leaves: the last checkpoint, credit map, performance, and the model last of all."""
    out = trainer.settings.folder
    trainer.save(out / "checkpoints", trainer.settings.steps)
    trainer.credit.save(out / "credit.npz", trainer.objective.table)
    performance = {
        "pairs_per_second": round(summary.pairs_per_second, 2),
        "seconds": round(summary.seconds, 2),
        "peak_memory_mb": round(summary.peak_memory_mb, 1),
        "processes": trainer.accelerator.num_processes,
        "device": str(trainer.accelerator.device),
        "machine": machine(),
        "versions": versions(),
    }
    write_json(out / "perf.json", performance)
    with atomic_folder(out / "model") as folder:
        trainer.model.save(folder)


def _with_pairs(settings: TrainSettings) -> TrainSettings:
    """Note which pairs the run is trained on; a run.yaml that names other pairs cannot be repeated."""
    manifest = Path(settings.data or "") / "manifest.json"
    found = sha256_file(manifest) if manifest.is_file() else None
    if settings.pairs_sha256 not in (None, found):
        raise UserError(
            f"{settings.data} holds other pairs than those of the run to repeat: prepare them again."
        )
    return settings.model_copy(update={"pairs_sha256": found})


def _is_other_run(settings: TrainSettings, resume: bool, overwrite: bool) -> bool:
    """Whether the run folder holds a run of other settings or pairs, which may be replaced.

    Raises:
        UserError: two runs would be mixed in one folder.
    """
    out = make_folder(settings.folder)
    if not (out / "run.yaml").exists():
        return False
    if not (resume or overwrite):
        state = "a finished run" if (out / "model").is_dir() else "an unfinished run"
        raise UserError(f"{out} holds {state}: add --resume to go on with it, or choose another --out.")
    before = read_settings(out / "run.yaml")
    may_change = {"steps", "micro_batch_size", "device", "checkpoint_every"} - (
        {"steps"} if overwrite else set()
    )
    for name, value in before.model_dump(exclude=may_change).items():
        if getattr(settings, name) != value:
            if overwrite:
                return True
            raise UserError(
                f"{out} was started with {name} {value!r}, not {getattr(settings, name)!r}: "
                "resume with the same settings, choose another --out, or replace it with --overwrite."
            )
    return False


def _clear(out: Path) -> None:
    """Remove a run, and nothing else that lies in its folder."""
    for name in ("checkpoints", "model"):
        shutil.rmtree(out / name, ignore_errors=True)
    for name in ("run.yaml", "metrics.jsonl", "credit.npz", "perf.json"):
        (out / name).unlink(missing_ok=True)


def _load(settings: TrainSettings, device: torch.device) -> DiffusionModel:
    """The policy: float32 weights on the device; everything but the U-Net is left out or stays on the processor."""
    model = load_model(settings.model, "cpu", encoders=False)
    unet = model.unet.to(device, memory_format=torch.channels_last)
    unet.requires_grad_(True).train()
    if settings.lora:
        model.add_lora(settings.lora, settings.seed)
    return model


def _precision(settings: TrainSettings) -> torch.dtype:
    if settings.precision != "auto":
        return choose_dtype(settings.precision, choose_device(settings.device))
    on_gpu = settings.device != "cpu" and torch.cuda.is_available()
    return torch.bfloat16 if on_gpu and torch.cuda.is_bf16_supported() else torch.float32


def _note(metrics: dict[str, Any]) -> str:
    accuracy = metrics["implicit_accuracy"]
    shown = "" if accuracy is None else f"  accuracy {accuracy:.2f}"
    return f"loss {metrics['loss']:.4f}{shown}"


def peak_memory_mb() -> float:
    """Peak memory of this process: the GPU's if there is one, else resident memory. MiB."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
