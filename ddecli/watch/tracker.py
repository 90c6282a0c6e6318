"""A tracker that a run reports to, through accelerate's classes; one that fails is left alone from there on."""

from __future__ import annotations

import atexit
import contextlib
import json
import secrets
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from accelerate.tracking import LOGGER_TYPE_TO_CLASS

from ddecli.core.console import console
from ddecli.core.errors import UserError, first_sentence
from ddecli.core.files import read_json, write_json

PROJECT = "ddecli"
"""What the trackers that have projects, or experiments, file runs under."""
TOKEN = "tracking.json"
"""In the run folder: a word by which a tracker knows the run again. A run that replaces it has another."""

TAKE_WORDS = ("tensorboard", "wandb", "comet_ml")
"""Trackers whose `log` takes texts."""


class Tracker:
    """One tracker of a run, on the main process."""

    def __init__(self, name: str, run: Path, first_step: int) -> None:
        """Open the log of a run, or go on with it.

        Args:
            run: the run folder.
            first_step: what was logged of it, and of later steps, is replaced where the tracker can.

        Raises:
            UserError: the tracker does not start (no login, no network, no disk).
        """
        self.name = name
        self.works = True
        kind = LOGGER_TYPE_TO_CLASS[name]
        try:
            with _output_aside():
                self._tracker: Any = kind(*_opening(name, run), **_goes_on(name, run, first_step))
                self._tracker.start()
        except (Exception, SystemExit) as error:
            raise UserError(
                f"--report-to {name}: it does not start ({first_sentence_of(error)}); mend that, or leave the option "
                "out."
            ) from error
        atexit.register(_output_aside().__enter__)  # trackers say farewell when the program ends

    def settings(self, values: Mapping[str, Any]) -> None:
        """Note the settings of the run; those without a value are left out."""
        given = {key: value for key, value in values.items() if value is not None}
        self._try(lambda: self._tracker.store_init_configuration(given))

    def numbers(self, values: Mapping[str, float | None], step: int) -> None:
        """Log the numbers of a step; those without a value are left out."""
        given = {key: value for key, value in values.items() if value is not None}
        self._try(lambda: self._tracker.log(given, step=step))

    def words(self, title: str, text: str, step: int) -> None:
        """Log a sentence, where the tracker takes any."""
        if self.name in TAKE_WORDS:
            self._try(lambda: self._tracker.log({title: text}, step=step))

    def picture(self, title: str, make: Callable[[], np.ndarray], step: int) -> None:
        """Log a picture, (height, width, 3) uint8."""
        self._try(lambda: _log_picture(self.name, self._tracker, title, make(), step))

    def close(self) -> None:
        """End of the log."""
        self._try(self._tracker.finish)

    def _try(self, call: Callable[[], Any]) -> None:
        """Training is worth more than its log: what fails is said once, and not tried again."""
        if not self.works:
            return
        try:
            with _output_aside():
                call()
        except Exception as error:
            self.works = False
            console.print(
                f"{self.name} has failed ({first_sentence_of(error)}): training goes on without it; metrics.jsonl has "
                "all numbers.",
                style="yellow",
            )


def _log_picture(name: str, tracker: Any, title: str, picture: np.ndarray, step: int) -> None:
    """Log a picture; each tracker wants it in another way, and accelerate's classes know some of them."""
    if name == "tensorboard":
        tracker.log_images({title: picture[None]}, step=step, dataformats="NHWC")
    elif name in ("aim", "clearml"):
        tracker.log_images({title: picture}, step=step)
    elif name == "trackio":
        from trackio import Image

        tracker.log({title: Image(picture)}, step=step)
    elif name == "mlflow":
        from mlflow import log_image

        log_image(picture, key=title, step=step)
    elif name == "comet_ml":
        tracker.tracker.log_image(picture, name=title, step=step)
    elif name == "dvclive":
        tracker.tracker.log_image(f"{title}/{step}.png", picture)
    else:
        tracker.log_images({title: [picture]}, step=step)


def first_sentence_of(error: BaseException) -> str:
    """What a tracker says, for a sentence of ours."""
    return first_sentence(error if isinstance(error, Exception) else Exception(str(error))).rstrip(".")


def _output_aside() -> contextlib.AbstractContextManager[Any]:
    """Standard output is for results: what trackers print goes to the other stream."""
    return contextlib.redirect_stdout(sys.stderr)


def _opening(name: str, run: Path) -> list[str]:
    """What a tracker's class takes first: the run's or project's name, and a folder if it needs one."""
    if name == "tensorboard":
        return [name, str(run)]
    needs_folder = LOGGER_TYPE_TO_CLASS[name].requires_logging_directory
    return [PROJECT, str(run / name)] if needs_folder else [PROJECT]


def _goes_on(name: str, run: Path, first_step: int) -> dict[str, Any]:
    """How a tracker is told to go on with the log of this run."""
    if name == "tensorboard":
        return {"purge_step": first_step}
    if name == "mlflow":
        return {"run_name": run.name}
    if name == "swanlab":
        return {"experiment_name": run.name}
    if name == "dvclive":
        own = run / name
        return {"dir": str(own), "dvcyaml": str(own / "dvc.yaml"), "resume": first_step > 0}
    if name not in ("wandb", "trackio"):
        return {}
    token = _token(run)
    if name == "wandb":
        return {"name": run.name, "id": token, "resume": "allow", "dir": str(run)}
    return {"name": f"{run.name}-{token}", "resume": "allow"}


def _token(run: Path) -> str:
    file = run / TOKEN
    if not file.exists():
        write_json(file, {"id": secrets.token_hex(8)})
    return str(read_json(file, dict[str, str], "remove it, and the run gets a new log")["id"])


def flat(values: Mapping[str, Any]) -> dict[str, bool | int | float | str]:
    """Settings as trackers take them: what is no number and no text as JSON."""
    return {
        key: value if isinstance(value, bool | int | float | str) else json.dumps(value)
        for key, value in values.items()
        if value is not None
    }
