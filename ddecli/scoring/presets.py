"""Names of the metrics and where their models come from. Importing this needs no torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ddecli.core.errors import UserError
from ddecli.models.presets import builtin_weights

CLIP_H = "laion/CLIP-ViT-H-14-laion2B-s32B-b79K"
TINY_WEIGHTS = builtin_weights("")
FAMILIES = ("tiny", "real")
DEFAULT_METRICS = ("clip", "hps", "pickscore")
DIVERSITY = "diversity"
"""Computed beside `clip` from its image embeddings; not chosen by name."""


@dataclass(frozen=True)
class MetricPreset:
    """A metric: its model on the hub (None: a folder must be given), and what to do when it is absent."""

    summary: str
    hub_id: str | None
    way_out: str


METRICS = {
    "clip": MetricPreset(
        "CLIP score: cosine of picture and prompt (CLIP-H)",
        CLIP_H,
        f"run `hf download {CLIP_H}` where there is a network, or give --scorer clip=FOLDER",
    ),
    "hps": MetricPreset(
        "HPS v2: cosine of a CLIP-H fine-tuned on people's choices",
        None,
        "convert HPS_v2_compressed.pt of xswu/HPSv2 to a transformers CLIPModel folder, "
        "and give --scorer hps=FOLDER",
    ),
    "pickscore": MetricPreset(
        "PickScore v1: exp(logit_scale) x cosine of a CLIP-H fine-tuned on Pick-a-Pic",
        "yuvalkirstain/PickScore_v1",
        "run `hf download yuvalkirstain/PickScore_v1` where there is a network, "
        "or give --scorer pickscore=FOLDER",
    ),
    "truth": MetricPreset(
        "Truth of the tiny world: an estimate of the scenes' own utility",
        None,
        "it exists for the tiny world only: leave it out or use --family tiny",
    ),
}


@dataclass(frozen=True)
class ScorerSource:
    """Where a scorer's model lies: a local folder or a hub id, and the name its card shows."""

    label: str
    location: Path | str


def check_metrics(names: Iterable[str]) -> tuple[str, ...]:
    """The distinct names in order.

    Raises:
        UserError: a name is no metric.
    """
    names = tuple(dict.fromkeys(names))
    for name in names:
        if name not in METRICS:
            raise UserError(f"There is no metric {name!r}: choose from {', '.join(METRICS)}.")
    return names


def scorer_source(metric: str, family: str, folders: dict[str, Path] | None = None) -> ScorerSource:
    """Where the model of a metric lies: the folder given for it, the tiny world's weights, or the hub.

    Raises:
        UserError: the metric has no model in this family; says what to download and where to put it.
    """
    if folders and metric in folders:
        return ScorerSource(folders[metric].name, folders[metric])
    if family == "tiny":
        return ScorerSource(f"tiny/{metric}", TINY_WEIGHTS / metric)
    preset = METRICS[metric]
    if preset.hub_id is None:
        raise UserError(f"No weights of {metric} are at hand: {preset.way_out}.")
    return ScorerSource(preset.hub_id, preset.hub_id)
