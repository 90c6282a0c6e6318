"""What is known of the trainings behind scored images, from the runs that their protocols name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, FiniteFloat

from ddecli.core.errors import UserError
from ddecli.core.files import read_yaml
from ddecli.core.ledger import note
from ddecli.core.parsing import check_shape
from ddecli.core.protocol import sampled_model
from ddecli.core.run_files import RUN_AGAIN, WHOLE, check_run
from ddecli.core.scores import ScoreSet


class _Settings(BaseModel):
    """What reports look at of a run.yaml."""

    model: str | None = None
    loss: str | None = None
    segment: str | None = None
    seed: int | None = None
    steps: int | None = None
    batch_size: int | None = None
    warmup: int | None = None
    beta: FiniteFloat | None = None
    lr: FiniteFloat | None = None


class _AllSettings(_Settings):
    """The same, of a run that nothing may be missing of."""

    model: str
    loss: str
    seed: int
    steps: int
    batch_size: int
    beta: FiniteFloat
    lr: FiniteFloat


class _Whole(BaseModel):
    """The same of a run of several iterations."""

    model: str
    seed: int
    steps: int
    iterations: int


def run_settings(protocol: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of the run that images were sampled from, if it still lies where it lay; else nothing.

    Raises:
        UserError: its run.yaml is damaged.
    """
    run = sampled_run(protocol)
    return run_settings_in(run) if run else {}


def sampled_run(protocol: Mapping[str, Any]) -> Path | None:
    """The folder of that run, if it still lies where it lay."""
    name = sampled_model(protocol)
    return Path(name) if name and (Path(name) / "run.yaml").is_file() else None


def run_settings_in(run: Path, complete: bool = False) -> dict[str, Any]:
    """The settings in the run.yaml of a run folder; of several iterations those of the whole, and all of their steps.

    Args:
        complete: whether those that every run has must be there.

    Raises:
        UserError: it is damaged, or has changed since the run ended.
    """
    file = check_run(run, "run.yaml")
    settings = read_yaml(file)
    try:
        check_shape(settings, _AllSettings if complete else _Settings)
    except ValueError as error:
        raise UserError(f"{file} is damaged ({error}): {RUN_AGAIN}.") from error
    note(file)
    return settings | _of_whole(run)


def _of_whole(run: Path) -> dict[str, Any]:
    """What differs between iterations: of the first the model and the seed, of all together the steps."""
    file = run / WHOLE
    if not file.is_file():
        return {}
    settings = read_yaml(file)
    try:
        check_shape(settings, _Whole)
    except ValueError as error:
        raise UserError(f"{file} is damaged ({error}): {RUN_AGAIN}.") from error
    note(file)
    steps = settings["iterations"] * settings["steps"]
    return {"model": settings["model"], "seed": settings["seed"], "steps": steps}


def training_seeds(given: Sequence[ScoreSet]) -> tuple[int, ...] | None:
    """The seed of each training; None where one is not known, or is there twice."""
    seeds = [_setting(scores, "seed") for scores in given]
    if not all(isinstance(seed, int) for seed in seeds) or len(set(seeds)) < len(seeds):
        return None
    return tuple(seeds)


def trained_loss(given: Sequence[ScoreSet]) -> str | None:
    """The loss that all of a row were trained with on the whole trajectory; None where it is not known."""
    losses = {_setting(scores, "loss") for scores in given}
    segments = {_setting(scores, "segment") for scores in given}
    loss = losses.pop() if len(losses) == 1 and segments == {None} else None
    return loss if isinstance(loss, str) else None


def _setting(scores: ScoreSet, name: str) -> Any:
    return run_settings(scores.protocol).get(name)
