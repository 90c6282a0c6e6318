"""The configuration of an experiment, checked before anything runs: names, and the options of every command.

Options are held to the rules of the command line, by the code of the command line. Every error names file and key.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ddecli.core.errors import UserError
from ddecli.core.files import read_json
from ddecli.core.segments import parse_segment
from ddecli.core.world import require_edition, world_of
from ddecli.models.presets import resolve
from ddecli.objectives.registry import has_beta
from ddecli.reproduction.evidence import LABELS
from ddecli.workflow.commands import (
    at,
    check_inception,
    check_prepare,
    check_sample,
    check_score,
    check_train,
    metrics_of,
)
from ddecli.workflow.options import meant
from ddecli.workflow.runs import Config, grid_runs, reported, second_sample

CLASSES = 4
"""The table of Inception Scores: its images are drawn with `classes`."""


def check_experiment(config: Config, files: Sequence[str | Path]) -> None:
    """Check what the schema does not tell.

    Args:
        config: with the schema's defaults filled in.
        files: that it was read from, for the error.

    Raises:
        UserError: one sentence that names the file and the key.
    """
    with at(" and ".join(map(str, files))):
        _check_papers(config)
        for name, settings in config["models"].items():
            with at(f"models.{name}.source"):
                resolve(settings["source"])
            _check_methods(name, settings)
            _check_regime(name, settings)
            _check_choices(config, name)
        for number, table in config["tables"].items():
            _check_table(config, number, table)
        for name, settings in config["models"].items():
            _check_commands(config, name)
            _check_names(name, settings)


def _check_papers(config: Config) -> None:
    """Each of the paper's models is played by one."""
    played: dict[str, str] = {}
    for name, settings in config["models"].items():
        paper = settings.get("paper")
        if paper in played:
            raise UserError(
                f"models.{name}.paper: {played[paper]} stands for the paper's {paper} already; leave one out."
            )
        if paper:
            played[paper] = name


def _check_methods(model: str, settings: Mapping[str, Any]) -> None:
    """A label stands for one row, a segment for a part of the trajectory."""
    place = f"models.{model}"
    labels = Counter([model, *(method["label"] for method in settings["methods"].values())])
    label, count = labels.most_common(1)[0]
    if count > 1:
        raise UserError(
            f"{place}.methods: the label {label!r} stands for {count} rows (that of the base model is {model!r}); "
            "what has one label is taken for seeds of one method: give each method its own."
        )
    segments = settings.get("segments")
    if not segments:
        return
    for part in segments["ranges"]:
        with at(f"{place}.segments.ranges"):
            parse_segment(part)
    losses = dict.fromkeys(method["loss"] for method in settings["methods"].values())
    if segments["loss"] not in losses:
        raise UserError(
            f"{place}.segments.loss: no method has the loss {segments['loss']!r}, with which the segments would be "
            f"compared; choose one of {', '.join(losses)}."
        )


def _check_regime(model: str, settings: Mapping[str, Any]) -> None:
    """Trainings that differ in beta: each value is there once, and said in one place."""
    regime, place = settings.get("regime"), f"models.{model}.regime"
    if not regime:
        return
    without = next((loss for loss in regime["losses"] if not has_beta(loss)), None)
    if without is not None:
        raise UserError(f"{place}.losses: {without} has no beta to differ in; leave it out.")
    betas = Counter(float(beta) for beta in regime["betas"])
    beta, count = betas.most_common(1)[0]
    if count > 1:
        raise UserError(f"{place}.betas: {beta:g} is there {count} times; write it once.")
    if "beta" in regime["train"]:
        raise UserError(
            f"{place}.train.beta: these trainings have the values of {place}.betas; leave it out."
        )


def _check_names(model: str, settings: Mapping[str, Any]) -> None:
    """A method that is called like a loss is that loss on the whole trajectory: the report takes it for it."""
    for name, method in settings["methods"].items():
        if name in LABELS and (method["loss"] != name or "segment" in method.get("train", {})):
            raise UserError(
                f"models.{model}.methods.{name}: what is called {name} must be trained with that loss on all "
                "timesteps; give this method another name."
            )


def _check_choices(config: Config, model: str) -> None:
    """Where beta and learning rate of a model's losses come from."""
    settings, place = config["models"][model], f"models.{model}"
    if "grid" in settings:
        if "grid" not in config:
            raise UserError(
                f"{place}.grid: the configuration has no `grid`, which says how a grid is judged."
            )
        metrics = metrics_of(settings["score"])
        for judge in config["grid"]["judges"]:
            if judge not in metrics:
                raise UserError(
                    f"grid.judges: {judge!r} is no metric of {place}.score{meant(judge, metrics)}"
                )
        losses = dict.fromkeys(method["loss"] for method in settings["methods"].values())
        for loss in settings["grid"].get("losses", {}):
            if loss not in losses:
                raise UserError(f"{place}.grid.losses: no method has the loss {loss!r}{meant(loss, losses)}")
        judged = {seed for run in grid_runs(config, model).values() for seed in run.seeds}
        _check_seeds(config, model, judged, "the grid")
    choices = settings["choices"]
    if choices == "recipe":
        return
    own = Path(config["pathvars"]["results"]) / "grid" / f"{model}.json"
    if choices == "grid" or Path(choices) == own:
        if "grid" not in settings:
            raise UserError(
                f"{place}.choices: {choices} needs a grid, and the model has none: add {place}.grid with beta and "
                "lr, or write `choices: recipe`."
            )
        return
    with at(f"{place}.choices"):
        record = read_json(Path(choices))
    chosen = record.get("chosen") if isinstance(record, dict) else None
    if not isinstance(chosen, dict):
        raise UserError(f"{place}.choices: {choices} is no record of ddecli choose.")
    require_edition(f"{place}.choices: {choices}", world_of(record.get("protocol", {})))
    for name, run in reported(config, model).items():
        if run.loss not in chosen:
            raise UserError(
                f"{place}.choices: {choices} has no choice for the loss {run.loss!r} of {name}; there is "
                f"{', '.join(chosen)}."
            )
    rows = record.get("rows")
    trials = [row.get("seeds") for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    tried = {seed for seeds in trials if isinstance(seeds, list) for seed in seeds if isinstance(seed, int)}
    _check_seeds(config, model, tried, choices)


def _check_seeds(config: Config, model: str, judged: set[int], where: str) -> None:
    """What is reported has other seeds than the trainings that settings were chosen by.

    A setting that was chosen for its luck with some seeds would show that luck again.
    """
    seeds = {seed for run in reported(config, model).values() for seed in run.seeds}
    both = sorted(judged & seeds)
    if both:
        raise UserError(
            f"models.{model}.first-seed: of the seeds of trainings that are reported, {where} chose settings by "
            f"{', '.join(map(str, both))}; write `first-seed: {max(judged) + 1}` or more."
        )


def _check_table(config: Config, number: int, table: Mapping[str, Any]) -> None:
    """A table's rows are methods of its models."""
    place = f"tables.{number}"
    rows = {f"{place}.{model}": (model, [run]) for model, run in table.items()}
    if number != CLASSES:
        rows = {f"{place}.methods": (table["model"], table["methods"])}
    for key, (model, runs) in rows.items():
        if model not in config["models"]:
            where = place if number == CLASSES else f"{place}.model"
            raise UserError(f"{where}: there is no model {model!r}{meant(model, config['models'])}")
        known = config["models"][model]["methods"]
        for run in runs:
            if run not in known:
                raise UserError(f"{key}: the model {model} has no method {run!r}{meant(run, known)}")
        if len(set(runs)) < len(runs):
            raise UserError(f"{key} names a method twice.")


def _check_second(settings: Mapping[str, Any], place: str) -> None:
    """A second guidance scale is another one."""
    scale = settings["second-guidance"]["guidance-scale"]
    if settings["sample"].get("guidance-scale") == scale:
        raise UserError(
            f"{place}.guidance-scale: {scale:g} is that of `sample` already; give another, or leave it out."
        )


def _check_commands(config: Config, model: str) -> None:
    """The options of all commands that are run for a model."""
    settings, place = config["models"][model], f"models.{model}"
    source = resolve(settings["source"])
    check_prepare(source, settings["prepare"], f"{place}.prepare")
    check_train(source, reported(config, model).values(), settings, place)
    check_sample(source, settings["sample"], f"{place}.sample")
    if settings.get("second-guidance"):
        _check_second(settings, f"{place}.second-guidance")
        check_sample(source, second_sample(settings), f"{place}.second-guidance")
    check_score(source, settings["score"], f"{place}.score")
    if model in config["tables"].get(CLASSES, {}):
        check_sample(source, settings["classes"], f"{place}.classes")
        check_inception(settings["inception"], f"{place}.inception")
    if "grid" in settings:
        check_train(source, grid_runs(config, model).values(), settings, place)
        check_sample(source, config["grid"]["sample"], "grid.sample")
