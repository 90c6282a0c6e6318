"""A model's scheduler and noise schedule, from its configuration alone: no weights are read, no model is imported."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import diffusers

from ddecli.core.deferred import deferring
from ddecli.core.errors import UserError, first_sentence
from ddecli.core.files import read_json
from ddecli.diffusion.schedule import NoiseSchedule
from ddecli.models.locate import local_folder
from ddecli.models.presets import resolve


def load_schedule(name: str) -> NoiseSchedule:
    """The noise schedule of a model, from its scheduler's configuration alone: no weights are read.

    Raises:
        UserError: as `load_for_sampling`, or a scheduler that has no discrete diffusion schedule.
    """
    return scheduler_in(local_folder(resolve(name), ["scheduler"]))[1]


def load_scheduler(name: str) -> Any:
    """The scheduler itself, see `load_schedule`."""
    return scheduler_in(local_folder(resolve(name), ["scheduler"]))[0]


def scheduler_in(folder: Path) -> tuple[Any, NoiseSchedule]:
    """The scheduler of the model in a folder, and its noise schedule."""
    config = read_json(folder / "scheduler" / "scheduler_config.json")
    kind = str(config.get("_class_name") if isinstance(config, dict) else None)
    scheduler: Any = getattr(diffusers, kind, None)
    known = inspect.isclass(scheduler) and issubclass(scheduler, diffusers.SchedulerMixin)
    if not known:
        raise UserError(f"The scheduler of the model in {folder} is a {kind}, which diffusers does not know.")
    try:
        # It imports all schedulers that could take its place. What training needs whole has been imported by then.
        with deferring():
            found = scheduler.from_config(config)
        return found, NoiseSchedule.from_scheduler(found)
    except UserError as error:
        raise UserError(f"The model in {folder} cannot be used: {error}") from error
    except Exception as error:  # whatever a scheduler makes of values that are none
        raise UserError(
            f"The scheduler of the model in {folder} is damaged: {first_sentence(error)}"
        ) from error
