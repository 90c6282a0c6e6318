"""What `ddecli train` shows of a run in training, as its options say it."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

from ddecli.cli.options import by_metric
from ddecli.cli.prompts import WORLD, named_prompts
from ddecli.core.errors import UserError
from ddecli.scoring.published import check_metrics, scorer_source
from ddecli.watch.names import named_trackers

if TYPE_CHECKING:
    from ddecli.sampling.prompts import PromptSet
    from ddecli.scoring.score import ScoringSettings
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
    _check_scoring(settings)
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

    return functools.partial(Watching, trackers, prompts, _scoring(settings))


def _check_scoring(settings: TrainSettings) -> None:
    """Refuse scores that nobody can give, before a model is loaded.

    Raises:
        UserError: no such metric, none of the model's world, no such folder, or no images to be scored.
    """
    metrics = check_metrics(settings.sample_metric or ())
    folders = _folders(settings)
    if metrics and settings.sample_every is None:
        raise UserError(f"--sample-metric {metrics[0]} goes with --sample-every N: how often to draw.")
    check_metrics(folders)
    for name, folder in folders.items():
        if not metrics:
            raise UserError(f"--sample-scorer {name}={folder} goes with --sample-metric {name}.")
        if not folder.exists():
            raise UserError(f"--sample-scorer {name}={folder}: {folder} does not exist.")
    for name in metrics:
        scorer_source(name, _scorer_set(settings), folders)


def _scoring(settings: TrainSettings) -> ScoringSettings | None:
    """How sheets are scored; None where they are not."""
    from ddecli.core.devices import choose_device
    from ddecli.scoring.score import ScoringSettings

    if not settings.sample_metric:
        return None
    return ScoringSettings(
        check_metrics(settings.sample_metric),
        _scorer_set(settings),
        _folders(settings),
        device=choose_device(settings.device),
    )


def _folders(settings: TrainSettings) -> dict[str, Path]:
    given = by_metric("--sample-scorer", "FOLDER", settings.sample_scorer or [])
    return {name: Path(folder) for name, folder in given}


def _scorer_set(settings: TrainSettings) -> str:
    from ddecli.models.presets import resolve

    return "tiny" if resolve(settings.model).is_tiny else "real"
