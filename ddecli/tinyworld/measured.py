"""What the build measured of the world's models, as tables to read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ddecli.core.files import read_json
from ddecli.models.presets import builtin_weights
from ddecli.tinyworld.scenes import ATTRIBUTES

MANIFEST = "manifest.json"
MODELS = ("tiny", "tiny-xl")
SCORERS = {"clip": "voters", "hps": "beauty", "pickscore": "faith"}
"""The group of annotators that each scorer learned from; CLIP learned from none."""


@dataclass(frozen=True)
class Measured:
    """A table: its title, the names of its columns, and rows of as many texts."""

    title: str
    columns: list[str]
    rows: list[list[str]]


def measured_tables() -> Iterator[Measured]:
    """The tables of the shipped weights' manifest."""
    stages = _stages()
    examined = {
        f"{model}, {guidance}": found
        for model in MODELS
        for guidance, found in stages[model]["examined"].items()
    }
    judge = stages["judge"]
    shown = {"chance": judge["chance"]} | {name: found["right"] for name, found in examined.items()}
    shown |= {"ceiling": judge["right"], "CLIP on drawings": _zero_shot(stages["clip-vision"]["right"])}
    rows = [[name, *(_number(each.get(name)) for each in shown.values())] for name in (*ATTRIBUTES, "all")]
    yield Measured("Share of pictures that show what an unseen caption says", ["attribute", *shown], rows)
    flaws = {
        name: [found[kind] for kind in ("middle", "fine", "utility")] for name, found in examined.items()
    }
    yield Measured(
        "Flaws of these pictures, and their mean utility for the voters",
        ["model", "middle", "fine", "utility"],
        [[name, *map(_number, values)] for name, values in flaws.items()],
    )
    yield Measured(
        "Scorers: share of the votes on pairs of flawed pictures, and of pairs judged rightly that differ at one scale",
        ["scorer", "group", "votes", "of at most", "coarse", "middle", "fine"],
        [_scorer(name, group, _agreement(stages, name)) for name, group in SCORERS.items()],
    )


def read_references() -> dict[str, dict[str, float]]:
    """Of every attribute and of all: `chance`, the share that is right of pictures of other captions, and `right`, of
    drawn scenes that show their captions: what the judge can read at most."""
    judge = _stages()["judge"]
    return {name: judge[name] for name in ("chance", "right")}


def _stages() -> dict[str, Any]:
    """What every stage of the build of the shipped weights measured."""
    stages: dict[str, Any] = read_json(builtin_weights("") / MANIFEST)["stages"]
    return stages


def _agreement(stages: dict[str, Any], scorer: str) -> dict[str, Any]:
    return stages["clip-vision" if scorer == "clip" else scorer]


def _scorer(name: str, group: str, found: dict[str, Any]) -> list[str]:
    votes = found[group]
    scales = [_number(found[scale]) for scale in ("coarse", "middle", "fine")]
    return [name, group, _number(votes["votes"]), _number(votes["ceiling"]), *scales]


def _zero_shot(right: dict[str, float]) -> dict[str, float]:
    """Of attributes that single things and couples have, the lower share."""
    lowest: dict[str, float] = {}
    for name, share in right.items():
        attribute = name.removesuffix(" of a couple")
        lowest[attribute] = min(share, lowest.get(attribute, 1.0))
    return lowest


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
