"""What a run writes of itself, and what it came to."""

from __future__ import annotations

import math
import resource
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import torch
import yaml

from ddecli.core.console import progress
from ddecli.core.files import atomic_folder, write_text
from ddecli.core.manifest import machine, versions
from ddecli.core.run_files import forget_files, read_performance, write_performance
from ddecli.training.alarms import WINDOW, Alarm, Alarms, WinnerErrors
from ddecli.training.card import write_card
from ddecli.training.card_use import keep_loras_below
from ddecli.training.checkpoint import remove_all_but_last
from ddecli.training.holdout import worse_than_base
from ddecli.training.record import MetricsLog
from ddecli.training.run_folder import ALARMS, SAMPLES
from ddecli.training.trainer import Trainer

LOGGED = ("run.yaml", "credit.npz", "metrics.jsonl", "holdout.jsonl", SAMPLES, ALARMS)
"""Files beside the model whose digests are noted, where they are there."""


@dataclass(frozen=True)
class TrainSummary:
    """What a run came to. What is measured in steps is None if none was left to do."""

    out: str
    steps: int
    seconds: float | None = None
    pairs_per_second: float | None = None
    peak_memory_mb: float | None = None
    first_loss: float | None = None
    last_loss: float | None = None
    last_accuracy: float | None = None  # implicit accuracy of the last batch
    holdout_accuracy: float | None = None  # and of the held-out pairs at the end, if there are any
    alarms: tuple[Alarm, ...] = ()


class RunRecord:
    """run.yaml, metrics.jsonl and holdout.jsonl of a run that goes on, and its progress bar.

    Every process has one; the main one writes.
    """

    def __init__(self, trainer: Trainer, alarms: Alarms) -> None:
        self.trainer, self.settings, self.alarms = trainer, trainer.settings, alarms
        self._winner_errors = WinnerErrors(self.settings.max_winner_error)
        self.history: list[dict[str, Any]] = []  # the first step's metrics, and the last one's
        self.evaluation: dict[str, float] = {}
        self._open = ExitStack()
        self._aside = 0.0

    def __enter__(self) -> RunRecord:
        settings, first_step = self.settings, self.trainer.first_step
        if self.trainer.is_main:
            forget_files(settings.folder)
            write_text(settings.folder / "run.yaml", yaml.safe_dump(settings.model_dump(), sort_keys=False))
            self._log = self._opened("metrics.jsonl")
            self._holdout_log = self._opened("holdout.jsonl") if settings.holdout else None
        title = f"training {settings.loss}"
        self._advance = self._open.enter_context(progress(title, settings.steps, first_step, "step"))
        self._began = time.monotonic()
        return self

    def _opened(self, name: str) -> MetricsLog:
        log = MetricsLog(self.settings.folder / name, self.trainer.first_step)
        self._open.callback(log.close)
        return log

    def add(
        self, step: int, metrics: dict[str, Any], seconds: float, found: dict[str, float]
    ) -> dict[str, Any]:
        """Note a step; returns all that is noted of it, on the main process.

        Args:
            seconds: that it took.
            found: what held-out pairs say after it; empty where they were not asked.
        """
        metrics = {"step": step} | metrics
        self.history = [*self.history[:1], metrics]
        self.evaluation = found or self.evaluation
        if not self.trainer.is_main:
            return {}
        speed = {
            "pairs_per_second": self.settings.batch_size / seconds,
            "memory_mb": peak_memory_mb(self.trainer.accelerator.device),
        }
        self._log.write(metrics | speed)
        if self._holdout_log and found:
            self._holdout_log.write({"step": step} | found)
        self._advance(note=_note(metrics | self.evaluation))
        self._look(step, metrics, found)
        return metrics | speed | found

    def _look(self, step: int, metrics: dict[str, Any], found: dict[str, float]) -> None:
        """Ring, where the numbers of a step are a reason for it."""
        times = self._winner_errors.add(metrics["error_policy_w"], metrics["error_reference_w"])
        if times is not None:
            most = self.settings.max_winner_error
            brake = f"; at {most:g} times training stops" if math.isfinite(most) else ""
            said = f"the error on preferred images is {times:.1f} times the reference's, over the last {WINDOW} steps"
            self.alarms.ring("winner-error", step + 1, said + brake)
        worse = worse_than_base(found)
        if worse:
            self.alarms.ring("held-out", step + 1, worse)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Time that is spent within does not count as training."""
        began = time.monotonic()
        try:
            yield
        finally:
            self._aside += time.monotonic() - began

    def __exit__(self, *stopped_by: object) -> None:
        self.seconds = time.monotonic() - self._began - self._aside
        self._open.close()

    def summary(self) -> TrainSummary:
        """What the steps came to, once they are done."""
        settings, trainer = self.settings, self.trainer
        if not self.history:
            return TrainSummary(str(settings.folder), settings.steps)
        pairs = (settings.steps - trainer.first_step) * settings.batch_size
        return TrainSummary(
            out=str(settings.folder),
            steps=settings.steps,
            seconds=self.seconds,
            pairs_per_second=pairs / max(self.seconds, 1e-9),
            peak_memory_mb=peak_memory_mb(trainer.accelerator.device),
            first_loss=self.history[0]["loss"],
            last_loss=self.history[-1]["loss"],
            last_accuracy=self.history[-1]["implicit_accuracy"],
            holdout_accuracy=self.evaluation.get("holdout_accuracy"),
            alarms=tuple(self.alarms.rung),
        )

    def finish(self) -> TrainSummary:
        """Write what a finished run leaves: the last checkpoint, credit map, performance, and the model last of all.

        Every process has to call it.
        """
        trainer, summary, out = self.trainer, self.summary(), self.settings.folder
        trainer.save(out / "checkpoints", self.settings.steps)
        weights = trainer.weights()
        if trainer.is_main:
            self._leave(summary, weights)
        trainer.accelerator.wait_for_everyone()
        return summary

    def _leave(self, summary: TrainSummary, weights: dict[str, torch.Tensor]) -> None:
        trainer, settings, out = self.trainer, self.settings, self.settings.folder
        objective = trainer.objective
        has_table = objective.corrections() is not None
        trainer.credit.save(out / "credit.npz", objective.state_dict() if has_table else {})
        measured = {
            name: round(value, 2)
            for name in ("pairs_per_second", "seconds", "peak_memory_mb")
            if (value := getattr(summary, name)) is not None
        }
        performance = read_performance(out)
        if measured or not performance:  # what the steps took is not forgotten when none was left to do
            performance = measured | {
                "model": {
                    "name": settings.model,
                    "revision": settings.model_revision,
                    "sha256": settings.model_sha256,
                },
                "reference_draws": trainer.reference_draws(),
                "processes": trainer.accelerator.num_processes,
                "device": str(trainer.accelerator.device),
                "machine": machine(),
                "versions": versions(),
                "date": datetime.now(UTC).date().isoformat(),
            }
        with atomic_folder(out / "model") as folder:
            trainer.model.save(folder, weights, settings.lora_format, out.resolve().name)
            if settings.lora:
                keep_loras_below(folder, trainer.model.source)
            saved = {
                f"model/{file.relative_to(folder)}": file for file in folder.rglob("*") if file.is_file()
            }
            logs = {name: out / name for name in LOGGED}
            files = {name: file for name, file in (saved | logs).items() if file.is_file()}
            rung = [asdict(each) for each in self.alarms.rung]
            write_performance(out, performance | ({"alarms": rung} if rung else {}), files)
            said = [f"after step {each.step} {each.said}" for each in self.alarms.rung]
            manifest = trainer.store.manifest
            write_card(folder, settings, trainer.model, manifest, said)  # may be rewritten by hand
        remove_all_but_last(out / "checkpoints", 1)  # a longer run goes on from it


def _note(metrics: dict[str, Any]) -> str:
    accuracy, holdout = metrics["implicit_accuracy"], metrics.get("holdout_accuracy")
    shown = "" if accuracy is None else f"  accuracy {accuracy:.2f}"
    shown += "" if holdout is None else f"  held out {holdout:.2f}"
    return f"loss {metrics['loss']:.4f}{shown}"


def peak_memory_mb(device: torch.device) -> float:
    """Peak memory of this process on its device: what torch allocated on a GPU, else resident memory. MiB."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
