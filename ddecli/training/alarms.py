"""Alarms of a run: what goes wrong while it is trained, each said once, with what to do. They stop nothing."""

from __future__ import annotations

from collections import deque
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel

from ddecli.core.advice import gentler
from ddecli.core.console import console
from ddecli.core.errors import UserError
from ddecli.core.files import read_json, write_json
from ddecli.objectives.registry import has_beta
from ddecli.training.record import HARMLESS
from ddecli.training.run_folder import ALARMS
from ddecli.training.settings import TrainSettings

TWICE = 2.0
WINDOW = 20
"""Steps over which the winners' error is averaged."""


@dataclass(frozen=True)
class Alarm:
    """One alarm that has rung.

    Attributes:
        name: which one: `winner-error`, `held-out`, `diversity`, `scorer-fooled` or `scores`.
        step: after how many steps it rang.
        said: what is wrong, without a full stop.
        way_out: what to do about it, a sentence.
    """

    name: str
    step: int
    said: str
    way_out: str


class _Noted(BaseModel):
    """An alarm as alarms.json has it."""

    name: str
    step: int
    said: str
    way_out: str


class Alarms:
    """The alarms of a run that have rung so far, kept in alarms.json of its folder."""

    def __init__(self, settings: TrainSettings, first_step: int = 0, writes: bool = True) -> None:
        """Those of a run that begins, or goes on after so many steps: what rang later is forgotten, and may ring again.

        Args:
            writes: whether this process writes the run's files.
        """
        self.settings, self.writes = settings, writes
        self.file = settings.folder / ALARMS
        self.rung: list[Alarm] = []
        if self.file.exists():
            before = [
                Alarm(each["name"], each["step"], each["said"], each["way_out"])
                for each in read_json(self.file, list[_Noted], "remove it")
            ]
            self.rung = [each for each in before if each.step <= first_step]
            if self.rung != before:
                self._note()

    def ring(self, name: str, step: int, said: str, good: int = 0, look_at: Path | None = None) -> None:
        """Say what is wrong after a step, unless this alarm has rung before, and note it.

        Args:
            said: what is wrong, without a full stop.
            good: after how many steps there was a sheet, and no alarm yet; 0 if there was none.
            look_at: where it can be seen.
        """
        if name in (each.name for each in self.rung):
            return
        alarm = Alarm(name, step, said, self._way_out(step, good, look_at))
        self.rung.append(alarm)
        console.print(
            f"ALARM ({name}) after step {step}: {said}. {alarm.way_out}",
            style="yellow",
            soft_wrap=not console.is_terminal,
        )
        self._note()

    def _note(self) -> None:
        if not self.writes:
            return
        try:
            write_json(self.file, [asdict(each) for each in self.rung])
        except UserError as error:  # no reason to lose a training
            console.print(f"{error} Training goes on; its alarms are said here alone.", style="yellow")

    def _way_out(self, step: int, good: int, look_at: Path | None) -> str:
        ways = [f"look at {look_at}"] if look_at is not None else []
        if step < self.settings.steps:
            ways.append("Ctrl-C stops training with a checkpoint")
        ways.append(f"train again with {gentler(has_beta(self.settings.loss), good)}")
        text = "; ".join(ways)
        return f"{text[0].upper()}{text[1:]}."


class WinnerErrors:
    """Whether the error on preferred images rises beside the reference's, before it does so often enough to stop."""

    def __init__(self, max_winner_error: float) -> None:
        """
        Args:
            max_winner_error: times the reference's error at which training stops. The alarm rings half way there,
                counted in factors, or at twice.
        """
        self.limit = min(TWICE, max_winner_error**0.5)
        self.ratios: deque[float] = deque(maxlen=WINDOW)

    def add(self, policy: float | None, reference: float | None) -> float | None:
        """Errors of a step, on the same draws; returns the mean ratio of the last steps if it is clearly too high.

        Clearly: by two standard errors over these steps. Without a reference nothing is said.
        """
        if policy is None or not reference:
            return None
        self.ratios.append(policy / reference if policy > HARMLESS / self.limit else 1.0)
        if len(self.ratios) < WINDOW:
            return None
        mean, error = np.mean(self.ratios), np.std(self.ratios, ddof=1) / WINDOW**0.5
        return float(mean) if mean - 2 * error > self.limit else None
