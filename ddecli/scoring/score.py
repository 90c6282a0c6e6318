"""Score a set of images with each metric in turn; bad images are skipped, counted and listed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ddecli.core.console import console, no_progress, progress
from ddecli.core.errors import BadRow, NotPermitted, UserError
from ddecli.core.scores import (
    SCORES_PARQUET,
    SKIPPED,
    MetricScores,
    ScoreSet,
    load_scores,
    load_skipped,
)
from ddecli.core.world import TINY, require_edition
from ddecli.scoring.decode import decoded_batches
from ddecli.scoring.published import ScorerSource, check_metrics, scorer_source
from ddecli.scoring.scorer import Scorer
from ddecli.scoring.sources import ImageSet, ScoredImage, world_of_images

SCORERS = {
    "clip": "clip.ClipScore",
    "hps": "hps.HumanPreferenceScore",
    "hps-v2.1": "hps.HumanPreferenceScore21",
    "hpsv3": "hpsv3.HumanPreferenceScore3",
    "pickscore": "pickscore.PickScore",
    "imagereward": "imagereward.ImageReward",
    "vqascore": "vqascore.VqaScore",
    "soft-tifa": "soft_tifa.SoftTifa",
    "aesthetic": "aesthetic.AestheticScore",
    "truth": "truth.TruthScore",
    "attributes": "truth.AttributesScore",
}
"""Module and class of the scorer of each metric; imported when the metric is asked for."""
PINNED = ("revision", "sha256", "head_sha256")
"""What of a card tells versions of the weights apart."""


@dataclass(frozen=True)
class ScoringSettings:
    """How images are scored.

    scorer_set: `tiny` (of the built-in world), `real`, or `auto`: what the images are pictures of.
    folders: local models that replace a metric's own.
    pins: the revision or SHA-256 (or its first digits) that a metric's weights must have.
    """

    metrics: tuple[str, ...]
    scorer_set: str = "auto"
    folders: dict[str, Path] = field(default_factory=dict)
    batch_size: int = 32
    max_bad: float = 0.01
    device: str | torch.device = "cpu"
    pins: dict[str, str] = field(default_factory=dict)


def scorer_class(metric: str) -> type[Scorer]:
    """The scorer of a metric."""
    module, _, name = SCORERS[metric].partition(".")
    found: type[Scorer] = getattr(import_module(f"ddecli.scoring.{module}"), name)
    return found


def with_parts(metrics: Sequence[str]) -> tuple[str, ...]:
    """The metrics, and after them the parts that are scored beside them."""
    return (*metrics, *(part for metric in metrics for part in scorer_class(metric).part_scales))


def load_scorer(metric: str, source: ScorerSource, device: str | torch.device) -> Scorer:
    """Load the scorer of a metric.

    Raises:
        UserError: unknown metric, or its weights are not at hand.
    """
    check_metrics([metric])
    return scorer_class(metric)(source, device)


def check_pin(card: Mapping[str, Any], pin: str) -> None:
    """Refuse other weights than the pinned ones; an empty pin lets every version pass.

    Raises:
        UserError: neither the card's revision nor a SHA-256 in it begins with `pin`.
    """
    found = {key: str(card[key]) for key in PINNED if key in card}
    if not any(value.startswith(pin.lower()) for value in found.values()):
        listed = ", ".join(f"{key} {value}" for key, value in found.items())
        raise UserError(f"The weights of {card['name']} are not the pinned {pin}, but {listed}.")


class Scorers:
    """The scorer that is loaded: one at a time, for as long as it is the one that is asked for."""

    def __init__(self, device: str | torch.device) -> None:
        self.device = device
        self._loaded: tuple[str, ScorerSource, Scorer] | None = None

    def __call__(self, metric: str, source: ScorerSource) -> Scorer:
        """See `load_scorer`."""
        if self._loaded is None or self._loaded[:2] != (metric, source):
            self._loaded = None  # two may not fit the memory
            self._loaded = metric, source, load_scorer(metric, source, self.device)
        return self._loaded[2]


def score_folders(
    sources: Sequence[ImageSet], settings: ScoringSettings, outs: Sequence[Path]
) -> list[ScoreSet | UserError]:
    """Score several folders, each scorer loaded once; of a folder that cannot be scored, why.

    Each folder's own files are those of `score_images`, which every metric is written to as soon as it is there.
    """
    scorers = Scorers(settings.device)
    found: list[ScoreSet | UserError] = [ScoreSet(source.name) for source in sources]
    for metric in check_metrics(settings.metrics):
        for number, (source, out) in enumerate(zip(sources, outs, strict=True)):
            if isinstance(found[number], UserError):
                continue
            try:
                found[number] = score_images(source, replace(settings, metrics=(metric,)), out, scorers)
            except UserError as error:
                found[number] = error
    return found


def score_images(
    source: ImageSet,
    settings: ScoringSettings,
    out: Path | None,
    scorers: Scorers | None = None,
    quiet: bool = False,
) -> ScoreSet:
    """Score every image of a source with every metric, and its parts beside it (`diversity` beside `clip`).

    What `out` already holds for the same images and the same scorers is taken over.

    Args:
        out: folder of scores.parquet, scores.json and scores-skipped.jsonl; None writes nothing.
        scorers: gives the scorers, where several sources share them.
        quiet: no progress and no remarks, for whoever shows a progress of its own.

    Raises:
        UserError: an image given by name is unreadable; more than `max_bad` of a folder's images are (one
            is always let through); a scorer's weights are not at hand.
    """
    metrics = check_metrics(settings.metrics)
    scorer_set = choose_scorer_set(source) if settings.scorer_set == "auto" else settings.scorer_set
    sources = {metric: scorer_source(metric, scorer_set, settings.folders) for metric in metrics}
    scores = ScoreSet(source.name, protocol=source.protocol or {}, images_sha256=source.images_sha256)
    earlier = _earlier(scores, out)
    scorers = scorers or Scorers(settings.device)
    bad: dict[int, BadRow] = {}
    _check_skipped(source, earlier.skipped if earlier else _list_skipped(source, bad), settings.max_bad)
    for metric in metrics:
        scorer = scorers(metric, sources[metric])
        check_pin(scorer.card, settings.pins.get(metric, ""))
        if scorer.asks:
            scorer.learn(source.rows)
        if earlier and earlier.scorers.get(metric) == scorer.card:
            if not quiet:
                console.print(f"{metric}: kept, {source.name} was scored with the same model before.")
            _take_over(scores, earlier, metric)
            continue
        scorer.check_prompts([image.prompt for image in source.images])
        embeddings = embed_images(source.images, scorer, settings.batch_size, bad, source.name, quiet)
        _check_skipped(source, _list_skipped(source, bad), settings.max_bad)
        good = [position for position in range(len(source.images)) if position not in bad]
        images = [source.images[position] for position in good]
        embeddings = embeddings[good]
        values = scorer.score_embeddings(embeddings, [image.prompt for image in images])
        scores.metrics[metric] = _metric_scores(images, values.numpy())
        scores.scorers[metric] = scorer.card
        _add_parts(scores, images, embeddings, scorer)
    if bad or not earlier:
        scores.skipped = _list_skipped(source, bad)
    if earlier:
        for metric in [name for name in earlier.metrics if name not in scores.metrics]:
            _take_over(scores, earlier, metric)
        scores.skipped = scores.skipped or earlier.skipped
    if out is not None:
        scores.save(out)
    if scores.skipped and not quiet:
        reasons = Counter(row["reason"] for row in scores.skipped)
        listed = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
        where = f", listed in {out / SKIPPED}" if out is not None else ""
        console.print(f"{len(scores.skipped)} images skipped ({listed}){where}.")
    return scores


def embed_images(
    images: list[ScoredImage],
    scorer: Scorer,
    batch_size: int,
    bad: dict[int, BadRow],
    of: str = "",
    quiet: bool = False,
) -> Tensor:
    """The scorer's embeddings of the images, (N, E); rows of unreadable images stay zero, noted in `bad`.

    Args:
        of: what the images are called, for the progress.
        quiet: no progress.
    """
    embeddings: Tensor | None = None
    title = f"{scorer.name} {of}".strip()
    with no_progress() if quiet else progress(title, total=len(images), unit="images") as advance:
        paths = [image.path for image in images]
        for positions, pixels in decoded_batches(paths, scorer.preprocess, batch_size, bad):
            prompts = [images[position].prompt for position in positions]
            batch = scorer.embed_at_once(pixels, prompts)
            if embeddings is None:
                embeddings = torch.zeros(len(images), batch.shape[1])
            embeddings[positions] = batch
            advance(len(positions))
    return torch.zeros(len(images), 1) if embeddings is None else embeddings


def choose_scorer_set(source: ImageSet) -> str:
    """`tiny` for pictures of the tiny world, else `real`: as `world_of_images` finds it."""
    world = world_of_images(
        source.name, source.protocol, (image.path for image in source.images), "--family real"
    )
    require_edition(source.name, world)
    return "tiny" if world == TINY else "real"


def _earlier(scores: ScoreSet, out: Path | None) -> ScoreSet | None:
    """The scores that `out` holds of the very same images, if any."""
    if out is None or not (out / SCORES_PARQUET).exists():
        return None
    try:
        earlier = load_scores(out)
        earlier.skipped = load_skipped(out)
    except NotPermitted:
        raise
    except UserError:
        return None
    return earlier if earlier.images_sha256 == scores.images_sha256 else None


def _take_over(scores: ScoreSet, earlier: ScoreSet, metric: str) -> None:
    for name in (metric, *scorer_class(metric).part_scales) if metric in SCORERS else (metric,):
        if name in earlier.metrics:
            scores.metrics[name] = earlier.metrics[name]
            scores.scorers[name] = earlier.scorers[name]


def _metric_scores(images: list[ScoredImage], values: np.ndarray) -> MetricScores:
    return MetricScores(
        np.array([image.prompt_id for image in images]),
        np.array([image.image_index for image in images], dtype=np.int32),
        values.astype(np.float32),
    )


def _add_parts(scores: ScoreSet, images: list[ScoredImage], embeddings: Tensor, scorer: Scorer) -> None:
    parts = scorer.parts(embeddings, [image.prompt for image in images])
    for name, values in parts.items():
        there = ~np.isnan(values)
        if there.any():
            chosen = [image for image, keep in zip(images, there, strict=True) if keep]
            scores.metrics[name] = _metric_scores(chosen, values[there])
            scores.scorers[name] = {**scorer.card, "name": name, "scale": scorer.part_scales[name]}


def _check_skipped(source: ImageSet, skipped: list[dict[str, str]], max_bad: float) -> None:
    if not skipped:
        return
    first = f"{skipped[0]['file']}: {skipped[0]['reason']}"
    if source.folder is None:
        raise UserError(f"Cannot score {first}. Leave it out, or repair it.")
    rows = len(source.images) + len(source.bad)
    if len(skipped) > max(1, int(max_bad * rows)) or len(skipped) == rows:
        raise UserError(
            f"{len(skipped)} of {rows} images of {source.name} cannot be used (first: {first}), "
            f"more than --max-bad {max_bad:g} allows. Repair or remove them, or raise --max-bad."
        )


def _list_skipped(source: ImageSet, bad: dict[int, BadRow]) -> list[dict[str, str]]:
    rows = [
        *source.bad,
        *((str(source.images[position].path), error) for position, error in sorted(bad.items())),
    ]
    return [{"file": name, "reason": error.reason, "detail": error.detail} for name, error in rows]
