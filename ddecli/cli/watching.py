"""What `ddecli train` shows of a run in training, as its options say it."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from ddecli.cli.prompts import WORLD, named_prompts
from ddecli.core.errors import UserError
from ddecli.watch.names import named_trackers

if TYPE_CHECKING:
    from ddecli.sampling.prompts import PromptSet
    from ddecli.training.settings import TrainSettings
    from ddecli.training.watcher import Watch

WORLD_PROMPTS = 8
"""Prompts of the world that are drawn where none are given."""


def check_watching(settings: TrainSettings) -> PromptSet | None:
    """The prompts of contact sheets, None where there are none.

    Raises:
        UserError: a tracker or a list of prompts that cannot be used.
    """
    named_trackers(settings.report_to)
    if settings.sample_every is None:
        if settings.sample_prompts is not None:
            raise UserError(
                f"--sample-prompts {settings.sample_prompts} goes with --sample-every N: how often to draw."
            )
        return None
    if settings.sample_prompts is not None:
        return named_prompts(settings.sample_prompts, [], None)
    from ddecli.models.presets import resolve

    if not resolve(settings.model).is_tiny:
        raise UserError(
            f"--sample-every {settings.sample_every} needs --sample-prompts FILE, one prompt a line."
        )
    return named_prompts(f"{WORLD}validation", [], WORLD_PROMPTS)


def watch_of(settings: TrainSettings, prompts: PromptSet | None) -> Watch:
    """Who looks on at a run of these settings."""
    from ddecli.training.watcher import Watcher

    trackers = named_trackers(settings.report_to)
    if not trackers and prompts is None:
        return Watcher
    from ddecli.watch.watch import Watch as Watching

    return functools.partial(Watching, trackers, prompts)
