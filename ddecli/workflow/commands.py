"""The options of each command that the workflow runs, held to the rules that the command itself has."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ddecli.cli.options import by_metric
from ddecli.cli.prompts import default_prompts, named_prompts
from ddecli.cli.relabel import deciding_metrics, thresholds_of
from ddecli.cli.stores import WORLD, default_data
from ddecli.core.errors import UserError
from ddecli.models.presets import ModelSource
from ddecli.scoring.published import DEFAULT_METRICS, check_metrics, scorer_source
from ddecli.workflow.inputs import named_path
from ddecli.workflow.options import Options, check_options
from ddecli.workflow.runs import PlannedRun


@contextlib.contextmanager
def at(place: str) -> Iterator[None]:
    """Errors within say where the configuration has it."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{place}: {error}") from error


def check_prepare(source: ModelSource, options: Options, place: str) -> None:
    """Raises UserError, as all that follow: options that `ddecli prepare` would refuse, or data that are not there."""
    from ddecli.data.mapping import parse_mapping
    from ddecli.data.sources.names import check_source

    values = check_options("prepare", options, place)
    with at(f"{place}.data"):
        data = values.get("data") or (default_data(source) if values.get("generate") is None else WORLD)
        if data != WORLD:
            check_source(data)
    with at(f"{place}.columns"):
        parse_mapping(values.get("columns") or [])
    for prompts in values.get("exclude_prompts") or []:
        _check_prompts(prompts, f"{place}.exclude-prompts")
    if values.get("prompts"):
        _check_prompts(values["prompts"], f"{place}.prompts")
    with at(f"{place}.relabel"):
        metrics = deciding_metrics(values.get("relabel") or [])
        thresholds_of(metrics, values.get("relabel_threshold") or [])
    _check_scorers(source, list(metrics), values, place)


def check_train(
    source: ModelSource, runs: Iterable[PlannedRun], settings: Mapping[str, Any], place: str
) -> None:
    """Check the options of all trainings, and their settings as they will be.

    Args:
        settings: of the model; `train` holds the options of all its trainings.
        place: of the model.
    """
    shared = check_options("train", settings["train"], f"{place}.train")
    _no_config_twice(settings, shared, f"{place}.train")
    known: set[str] = set()
    for run in runs:
        if run.loss not in known:
            _resolve(source, run.loss, shared, f"{place}.train")
            known.add(run.loss)
        values = check_options("train", run.options, run.place)
        _no_config_twice(settings, values, run.place)
        _resolve(source, run.loss, shared | values, run.place)


def check_sample(source: ModelSource, options: Options, place: str) -> None:
    """Check options of `ddecli sample`, and that its prompts can be read."""
    values = check_options("sample", options, place)
    prompts, prompt = values.get("prompts"), values.get("prompt") or []
    with at(place):
        if not prompts and not prompt:
            prompts = default_prompts(source)
        if prompts and prompt:
            named_prompts(prompts, prompt, None)
    if prompts:
        _check_prompts(prompts, f"{place}.prompts")


def check_score(source: ModelSource, options: Options, place: str) -> None:
    """Check options of `ddecli score`, and that scorers named by folder are there."""
    values = check_options("score", options, place)
    metrics = values.get("metric") or list(DEFAULT_METRICS)
    with at(f"{place}.metric"):
        check_metrics(metrics)
    _check_scorers(source, metrics, values, place)
    with at(f"{place}.pin"):
        check_metrics(dict(by_metric("--pin", "DIGEST", values.get("pin") or [])))


def check_inception(options: Options, place: str) -> None:
    """Check options of `ddecli inception`, and that a classifier named by folder is there."""
    values = check_options("inception", options, place)
    folder = named_path("classifier", values.get("classifier", "auto"))
    if folder and not Path(folder).is_dir():
        raise UserError(f"{place}.classifier: {folder} is neither a folder nor one of auto, inception, tiny.")


def metrics_of(score: Options) -> list[str]:
    """The metrics that options of `ddecli score` ask for."""
    given = score.get("metric", list(DEFAULT_METRICS))
    return [str(name) for name in given] if isinstance(given, list) else [str(given)]


def _resolve(source: ModelSource, loss: str, values: Mapping[str, Any], place: str) -> None:
    from ddecli.training.settings import TrainSettings, resolve_settings

    given = {
        name: value
        for name, value in values.items()
        if name in TrainSettings.model_fields and value is not None and value is not False
    }
    with at(place):
        resolve_settings(given | {"model": source.name, "loss": loss}, values.get("config"))


def _no_config_twice(settings: Mapping[str, Any], values: Mapping[str, Any], place: str) -> None:
    """The chosen beta and learning rate reach a training by --config, which is given once."""
    if values.get("config") and settings["choices"] != "recipe":
        raise UserError(
            f"{place}.config: beta and learning rate come from `choices` in such a file already; write "
            "`choices: recipe` and put them into your own."
        )


def _check_prompts(prompts: str, place: str) -> None:
    """Published sets are fetched when they are needed; all others are read here."""
    from ddecli.sampling.prompt_sets import PUBLISHED

    name, equals, path = prompts.partition("=")
    with at(place):
        if name not in PUBLISHED:
            named_prompts(prompts, [], None)
        elif equals and not Path(path).exists():
            raise UserError(f"{path} does not exist: give the file or folder of {name}.")


def _check_scorers(source: ModelSource, metrics: list[str], values: Mapping[str, Any], place: str) -> None:
    with at(f"{place}.scorer"):
        folders = {
            name: Path(path) for name, path in by_metric("--scorer", "FOLDER", values.get("scorer") or [])
        }
        check_metrics(folders)
        for name, folder in folders.items():
            if not folder.exists():
                raise UserError(f"{folder}, the scorer of {name}, does not exist.")
    scorer_set = values.get("family", "auto")
    with at(f"{place}.metric"):
        for name in metrics:
            scorer_source(
                name, ("tiny" if source.is_tiny else "real") if scorer_set == "auto" else scorer_set, folders
            )
