"""Who looks on while a run is trained. It may look at all, and changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ddecli.training.alarms import Alarms
from ddecli.training.trainer import Trainer


class Watcher:
    """One that does not look; others extend it. It is entered when a run begins or goes on, by every process."""

    def __init__(self, trainer: Trainer, alarms: Alarms) -> None:
        """
        Args:
            alarms: what it rings.
        """
        self.trainer, self.settings, self.alarms = trainer, trainer.settings, alarms

    def __enter__(self) -> Watcher:
        return self

    def after_step(self, step: int, told: dict[str, Any], stops: bool) -> None:
        """Look on after a step, before its checkpoint is written. Every process calls it.

        Args:
            step: number of the step, from 0.
            told: its line of metrics.jsonl and what held-out pairs say after it; on the main process alone.
            stops: whether the run was told to end here, and should soon.
        """

    def end(self) -> None:
        """Look at a finished run, all files of which are written."""

    def __exit__(self, *stopped_by: object) -> None:
        """Close what is open, however the run ended."""


Watch = Callable[[Trainer, Alarms], Watcher]
