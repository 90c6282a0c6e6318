"""Pairs of the images of a sample, by the scores that `ddecli score` gave them: AI feedback on a model's own images.

Of each prompt the best image is set against the worst, or every image against every other. The best is the one that
wins most comparisons, those of all deciding scorers taken together: of one scorer that of the highest score. Which of
two images won, and by how much, `data.relabel` says.

A pair's id is PROMPT_ID:SEED:WINNER>LOSER, with the seed of the sample and the images' numbers in it; the pair also
keeps the seeds of the noise that its images began as (`image_seed`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from ddecli.core.errors import BadRow, UserError
from ddecli.core.protocol import drawn_with, image_seed
from ddecli.core.scores import SCORES_PARQUET, ScoreSet, load_scores, score_signs
from ddecli.data.pairs import NO_SCORE, ONE_IMAGE, TIE, Pair, Rejects
from ddecli.data.relabel import Decided, deciding_card, gaps_of
from ddecli.data.sources.base import PART_ROWS, Part, Source
from ddecli.scoring.sources import ScoredImage, read_source


@dataclass(frozen=True)
class PairUp:
    """Which pairs are made.

    thresholds: of the deciding scorers, in units of their scores.
    every: every two images of a prompt, not its best and its worst alone.
    """

    thresholds: dict[str, float]
    every: bool = False


@dataclass(frozen=True)
class _Group:
    """The images of a prompt, and their scores, (S, N), NaN where there is none."""

    images: Sequence[ScoredImage]
    scores: np.ndarray


def scored_source(folder: Path, how: PairUp) -> tuple[Source, Decided]:
    """The pairs of a scored sample, and what decided them.

    Raises:
        UserError: the sample is not finished, not scored by a deciding scorer, or has changed since it was.
    """
    listed = read_source([folder])
    scores = _scores(folder, how, listed.images_sha256)
    seed = (listed.protocol or {}).get("seed")
    groups = _groups(listed.images, scores, list(how.thresholds))
    content = hashlib.sha256(listed.images_sha256.encode())
    for group in groups:
        content.update(group.scores.tobytes())
    parts = []
    for start in range(0, len(groups), PART_ROWS):
        some = groups[start : start + PART_ROWS]
        read = partial(_pairs, some, how, seed if isinstance(seed, int) else None, str(folder))
        rows = sum(map(partial(_rows, how), some))
        parts.append(Part(f"prompts from {start} on", read, rows, None, content.hexdigest()))
    kind = "every two images of a prompt" if how.every else "best against worst image of each prompt"
    card = deciding_card([(scores.scorers[name], least) for name, least in how.thresholds.items()])
    source = Source(str(folder.resolve()), f"sample, {kind}", parts, drawn=drawn_with(listed.protocol or {}))
    return source, Decided(card)


def _scores(folder: Path, how: PairUp, images_sha256: str) -> ScoreSet:
    words = "".join(f" --metric {metric}" for metric in how.thresholds)
    again = f"run ddecli score {folder}{words}"
    if not (folder / SCORES_PARQUET).exists():
        raise UserError(f"{folder} is not scored: {again} first.")
    scores = load_scores(folder)
    if lacking := [metric for metric in how.thresholds if metric not in scores.metrics]:
        raise UserError(f"{folder} is not scored with {' and '.join(lacking)}: {again} first.")
    if scores.images_sha256 != images_sha256:
        raise UserError(f"The images of {folder} are not those that were scored: {again} again.")
    return scores


def _groups(images: Sequence[ScoredImage], scores: ScoreSet, metrics: list[str]) -> list[_Group]:
    """The images of each prompt, in the sample's order."""
    found: dict[tuple[str, int], np.ndarray] = {}
    for number, metric in enumerate(metrics):
        own = scores.metric(metric)
        rows = zip(own.prompt_id.tolist(), own.image_index.tolist(), own.score.tolist(), strict=True)
        for prompt, index, score in rows:
            found.setdefault((prompt, index), np.full(len(metrics), np.nan))[number] = score
    together: dict[str, list[ScoredImage]] = {}
    for image in images:
        together.setdefault(image.prompt_id, []).append(image)
    none = np.full(len(metrics), np.nan)
    return [
        _Group(
            group,
            np.stack([found.get((image.prompt_id, image.image_index), none) for image in group], axis=1),
        )
        for group in together.values()
    ]


def _rows(how: PairUp, group: _Group) -> int:
    """How many pairs or rejects a group gives."""
    known = int(np.isfinite(group.scores).all(axis=0).sum())
    own = known * (known - 1) // 2 if how.every else 1
    return (own if known > 1 else 1) + len(group.images) - known


def _pairs(
    groups: Sequence[_Group], how: PairUp, seed: int | None, source: str, rejects: Rejects
) -> Iterator[Pair]:
    thresholds = list(how.thresholds.values())
    for group in groups:
        known = np.isfinite(group.scores).all(axis=0)
        for image, is_known in zip(group.images, known, strict=True):
            if not is_known:
                rejects.add(image.path.name, BadRow(NO_SCORE))
        images = [image for image, is_known in zip(group.images, known, strict=True) if is_known]
        scores = group.scores[:, known]
        if len(images) < 2:
            rejects.add(group.images[0].prompt_id, BadRow(ONE_IMAGE))
            continue
        gaps = gaps_of(scores[:, :, None], scores[:, None, :], thresholds)
        for first, second in combinations(range(len(images)), 2) if how.every else [_extremes(scores)]:
            gap = float(gaps[first, second])
            better, worse = (first, second) if gap > 0 else (second, first)
            winner, loser = images[better], images[worse]
            of_sample = "" if seed is None else seed
            pair_id = f"{winner.prompt_id}:{of_sample}:{winner.image_index}>{loser.image_index}"
            if gap == 0:
                rejects.add(pair_id, BadRow(TIE))
                continue
            noise = None if seed is None else (_noise(winner, seed), _noise(loser, seed))
            yield Pair(
                winner.prompt, winner.path, loser.path, pair_id, source, score_gap=abs(gap), noise=noise
            )


def _extremes(scores: np.ndarray) -> tuple[int, int]:
    """Numbers of the best and of the worst of N images, by comparisons won minus lost; scores (S, N)."""
    won: Any = score_signs(scores[:, :, None], scores[:, None, :]).sum(axis=(0, 2))
    return int(won.argmax()), int(won.argmin())


def _noise(image: ScoredImage, seed: int) -> int:
    return image_seed(image.prompt, image.image_index, seed)
