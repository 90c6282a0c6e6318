"""The trainings of an experiment: its methods, the segments of the trajectory, and the cells of its grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ddecli.objectives.registry import known_loss
from ddecli.reproduction.evidence import LABELS

Config = Mapping[str, Any]
GRID = "grid/"
"""How the names of the grid's runs begin."""
REGIME = "regime/"
"""How the names of the runs begin whose logits are to saturate."""
FIRST_SEED = 10
"""Seed of the first training that is reported, where `first-seed` does not say otherwise. Those of a grid begin at 0:
what settings were chosen by is not shown as what they give."""


@dataclass(frozen=True)
class PlannedRun:
    """One row of a table, or one cell of a grid.

    options: of `ddecli train`, on top of those that all trainings of the model have.
    seeds: of its trainings.
    place: where the configuration says it.
    label: what figures call it, where it is no method.
    """

    loss: str
    seeds: range
    options: dict[str, Any] = field(default_factory=dict)
    place: str = ""
    label: str = ""


def all_runs(config: Config) -> dict[str, dict[str, PlannedRun]]:
    """Every run of every model, by its name in paths."""
    return {model: reported(config, model) | grid_runs(config, model) for model in config["models"]}


def reported(config: Config, model: str) -> dict[str, PlannedRun]:
    """The trained runs of a model that anything is said of: all but those of its grid."""
    return sampled_runs(config, model) | regime_runs(config, model)


def sampled_runs(config: Config, model: str) -> dict[str, PlannedRun]:
    """The trained runs of a model that are sampled and scored, segments included."""
    settings, place = config["models"][model], f"models.{model}"
    first = settings.get("first-seed", FIRST_SEED)
    found = {
        name: PlannedRun(
            method["loss"],
            range(first, first + method["seeds"]),
            dict(method.get("train", {})),
            f"{place}.methods.{name}.train",
        )
        for name, method in settings["methods"].items()
    }
    segments = settings.get("segments")
    for part in segments["ranges"] if segments else ():
        seeds = range(first, first + segments["seeds"])
        found[segment_run(config, model, part)] = PlannedRun(
            segments["loss"], seeds, {"segment": part}, f"{place}.segments.ranges", part
        )
    return found


def segment_run(config: Config, model: str, part: str) -> str:
    """Name of the run that trains one part of the trajectory."""
    return f"{config['models'][model]['segments']['loss']}-{part}"


def regime_runs(config: Config, model: str) -> dict[str, PlannedRun]:
    """Trainings until logits saturate, of every loss at every beta: for claims on credit, and never sampled."""
    settings = config["models"][model]
    regime, first = settings.get("regime"), settings.get("first-seed", FIRST_SEED)
    found: dict[str, PlannedRun] = {}
    if not regime:
        return found
    for loss in regime["losses"]:
        for beta in regime["betas"]:
            found[f"{REGIME}{loss}-beta{beta}"] = PlannedRun(
                loss,
                range(first, first + regime["seeds"]),
                regime["train"] | {"beta": beta},
                f"models.{model}.regime.train",
                f"{LABELS[loss]} beta {beta}",
            )
    return found


def second_sample(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Options of `ddecli sample` at a model's second guidance scale: as for its tables, but for what is said there."""
    own = {name: value for name, value in settings["second-guidance"].items() if name != "seeds"}
    return dict(settings["sample"]) | own


def grid_runs(config: Config, model: str) -> dict[str, PlannedRun]:
    """The cells of a grid: every loss of the model's methods at every beta (but for SFT) and learning rate.

    `losses` gives a loss values of its own, for a beta does not carry over from one to another.
    """
    settings = config["models"][model]
    grid = settings.get("grid")
    found: dict[str, PlannedRun] = {}
    if not grid:
        return found
    for loss in dict.fromkeys(method["loss"] for method in settings["methods"].values()):
        own = grid | grid.get("losses", {}).get(loss, {})
        for lr in own["lr"]:
            for beta in own["beta"] if known_loss(loss).has_beta else [None]:
                options = config["grid"]["train"] | {"lr": lr} | ({} if beta is None else {"beta": beta})
                name = f"{GRID}{loss}-lr{lr}" + ("" if beta is None else f"-beta{beta}")
                found[name] = PlannedRun(loss, range(grid.get("seeds", 1)), options, "grid.train")
    return found
