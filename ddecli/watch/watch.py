"""What is seen of a run while it is trained: its numbers in trackers, and contact sheets of what it draws."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import matplotlib.style
import numpy as np

from ddecli.core.console import console
from ddecli.core.errors import UserError, first_sentence
from ddecli.figures import credit
from ddecli.figures.save import plain
from ddecli.figures.style import STYLE
from ddecli.sampling.prompts import PromptSet
from ddecli.scoring.score import ScoringSettings
from ddecli.stats.compare import MetricComparison, compare
from ddecli.training.alarms import Alarms
from ddecli.training.record import MetricsLog
from ddecli.training.run_folder import SAMPLES
from ddecli.training.trainer import Trainer
from ddecli.training.watcher import Watcher
from ddecli.watch.rules import alike, fooled, labellers, level_of, worse
from ddecli.watch.scores import lines, numbers
from ddecli.watch.sheets import SCORED, Seen, Sheets
from ddecli.watch.tracker import Tracker, flat

SPEED = ("pairs_per_second", "memory_mb")
DPI = 150
"""Of the credit map as a picture."""


class Watch(Watcher):
    """Trackers and contact sheets of a run; of several processes the main one has them."""

    def __init__(
        self,
        trackers: Sequence[str],
        prompts: PromptSet | None,
        scoring: ScoringSettings | None,
        trainer: Trainer,
        alarms: Alarms,
    ) -> None:
        """
        Args:
            trackers: their names.
            prompts: of the contact sheets; None for none.
            scoring: how these are scored; None for not at all.
        """
        super().__init__(trainer, alarms)
        self.names, self.prompts, self.scoring = trackers, prompts, scoring
        self.log: MetricsLog | None = None
        self.trackers: list[Tracker] = []
        self.sheets: Sheets | None = None
        self.logged = len(alarms.rung)
        self.held_out: dict[str, float] = {}
        every = (
            self.settings.sample_every or 1
        )  # after so many steps there was a sheet, and no alarm until then:
        self.good = 0 if alarms.rung else trainer.first_step // every * every

    def __enter__(self) -> Watch:
        trainer, settings = self.trainer, self.settings
        if not trainer.is_main:
            return self
        for name in self.names:
            self.trackers.append(Tracker(name, settings.folder, trainer.first_step))
        if not trainer.first_step:
            for tracker in self.trackers:
                tracker.settings(flat(settings.model_dump()))
        if self.prompts is not None:
            self.sheets = Sheets(trainer, self.prompts, self.scoring)
            is_left_over = self.sheets.is_left_over(trainer.first_step)
            self.log = MetricsLog(settings.folder / SAMPLES, trainer.first_step - is_left_over)
            if is_left_over:
                self._draw(trainer.first_step)
        return self

    def after_step(self, step: int, told: dict[str, Any], stops: bool) -> None:
        """Log the numbers of a step, and draw where it is time; a run that is stopping draws when it goes on."""
        if not self.trainer.is_main:
            return
        for tracker in self.trackers:
            tracker.numbers(grouped(told), step)
        found = {name: value for name, value in told.items() if name.startswith("holdout_")}
        self.held_out = found or self.held_out
        if self.sheets and self.sheets.is_due(step + 1) and not (stops and step + 1 < self.settings.steps):
            self._draw(step + 1)
        self._log_alarms(step)

    def end(self) -> None:
        """Log the credit map."""
        for tracker in self.trackers:
            tracker.picture(
                "credit",
                lambda: credit_picture(str(self.settings.folder), self.settings.loss),
                self.settings.steps - 1,
            )

    def __exit__(self, *stopped_by: object) -> None:
        for tracker in self.trackers:
            tracker.close()
        if self.log is not None:
            with contextlib.suppress(OSError):  # a full disk, of which was told when it was written to
                self.log.close()

    def _draw(self, steps: int) -> None:
        assert self.sheets is not None
        assert self.log is not None
        try:
            seen = self.sheets.draw(steps)
            measured = {"distance_to_base_distance": seen.pixel_distance} | numbers(seen.compared)
            self.log.write({"step": steps - 1} | measured)
        except (UserError, OSError) as error:  # no reason to lose a training
            self.sheets = None
            why = getattr(error, "strerror", None) or first_sentence(error)
            console.print(f"No contact sheets from step {steps} on: {why}", style="yellow")
            return
        for tracker in self.trackers:
            tracker.picture("samples", lambda: seen.sheet, steps - 1)
            tracker.numbers({f"samples/{name}": value for name, value in measured.items()}, steps - 1)
        _say_scores(steps, seen.compared)
        self._look(steps, seen)

    def _look(self, steps: int, seen: Seen) -> None:
        """Ring, where a sheet is a reason for it."""
        steps_in_all, every = self.settings.steps, self.settings.sample_every
        assert self.sheets is not None
        assert every is not None
        level = level_of(steps_in_all, every, len(self.settings.sample_metric or ()))
        compared = compare(*seen.scores, level) if seen.scores else []
        share = alike(*seen.distances, level_of(steps_in_all, every, 1))
        is_fooled = fooled(compared, labellers(self.trainer.store.manifest), self.held_out)
        said = {
            "diversity": share and f"the images of a prompt differ {share:.2f} times as much as the base's",
            "scorer-fooled": is_fooled,
            "scores": None if is_fooled else worse(compared),
        }
        for name, text in said.items():
            if text:
                self.alarms.ring(name, steps, text, self.good, self.sheets.folder)
        if not self.alarms.rung:
            self.good = steps

    def _log_alarms(self, step: int) -> None:
        for alarm in self.alarms.rung[self.logged :]:
            for tracker in self.trackers:
                tracker.numbers({f"alarms/{alarm.name}": 1.0}, step)
                tracker.words(f"alarm {alarm.name}", f"{alarm.said}. {alarm.way_out}", step)
        self.logged = len(self.alarms.rung)


def _say_scores(steps: int, compared: Sequence[MetricComparison]) -> None:
    if not compared:
        return
    console.print(f"After step {steps}, {SCORED.format(compared[0].prompts)}")
    for text, stands_out in lines(compared):
        console.print(f"  {text}", style="bold" if stands_out else None)


def grouped(told: dict[str, Any]) -> dict[str, float | None]:
    """The numbers of a step under the names by which trackers group them."""
    return {_group(name): value for name, value in told.items() if name != "step"}


def _group(name: str) -> str:
    if name.startswith("holdout_"):
        return f"holdout/{name.removeprefix('holdout_')}"
    return f"{'speed' if name in SPEED else 'train'}/{name}"


def credit_picture(run: str, label: str) -> np.ndarray:
    """The figure `credit` of a finished run, (height, width, 3) uint8."""
    numbers = plain(credit.numbers({label: [run]}))
    with matplotlib.style.context(["default", STYLE]):
        figure = credit.draw(numbers)
        figure.set_dpi(DPI)
        figure.canvas.draw()
        pixels = np.asarray(figure.canvas.buffer_rgba())  # type: ignore[attr-defined]
    return np.ascontiguousarray(pixels[..., :3])
