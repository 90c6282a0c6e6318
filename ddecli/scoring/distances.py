"""How far two sets of pictures are from each other: FID and CMMD.

FID (Heusel et al. 2017): the Frechet distance of two normal distributions with the means and covariances of the
pictures' features in a classifier, Inception-V3 as torch-fidelity has it; torchmetrics' code. CMMD (Jayasumana et al.
2024, arXiv 2401.09603): the squared maximum mean discrepancy of the pictures' CLIP embeddings under a Gaussian kernel,
with the numbers of its public code; there the CLIP is OpenAI's ViT-L/14 at 336 pixels, here that of the metric `clip`.

Both grow where there are fewer pictures, and say nothing of whether a picture shows its prompt.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ddecli.core.console import progress
from ddecli.core.devices import exact_float32
from ddecli.core.errors import BadRow, UserError
from ddecli.scoring.classifiers import load_features
from ddecli.scoring.decode import decoded_batches
from ddecli.scoring.inception_score import choose_classifier, files_of, of_one_size, to_uint8
from ddecli.scoring.published import scorer_source
from ddecli.scoring.score import choose_scorer_set, embed_images, load_scorer
from ddecli.scoring.sources import ImageSet, ScoredImage, protocol_of

METRICS = {"fid": "FID", "cmmd": "CMMD"}
BANDWIDTH, SCALE = 10.0, 1000.0
"""Of CMMD's kernel, for embeddings of length 1, and by what its public code multiplies it."""
ROWS_AT_ONCE = 4096
"""Of a matrix of kernels, which is never whole in memory."""


@dataclass(frozen=True)
class DistanceSettings:
    """How distances are measured.

    metrics: of `METRICS`.
    classifier: of FID, as of `ddecli inception`.
    folders: where the metric `clip` is, if not at its usual place.
    """

    metrics: tuple[str, ...] = tuple(METRICS)
    classifier: str = "auto"
    folders: dict[str, Path] = field(default_factory=dict)
    batch_size: int = 64
    device: str | torch.device = "cpu"


@dataclass(frozen=True)
class Distance:
    """One distance; `images` and `against_images` are the pictures on either side, `card` says by which model."""

    metric: str
    value: float
    images: int
    against_images: int
    card: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def distances(source: Path, against: Path, settings: DistanceSettings) -> list[Distance]:
    """The distances of two folders of pictures, which may be of any number and of different prompts.

    Raises:
        UserError: a folder has fewer than two pictures, or one that cannot be read; they are of different worlds; or a
            model is not at hand.
    """
    sets = [_read(folder) for folder in (source, against)]
    if source.resolve() == against.resolve():
        raise UserError(f"{source} is held against itself: give another folder.")
    measure = {"fid": _fid, "cmmd": _cmmd}
    first, second = (len(each.images) for each in sets)
    measured = {name: measure[name](sets, settings) for name in settings.metrics}
    return [Distance(name, value, first, second, card) for name, (value, card) in measured.items()]


def _read(folder: Path) -> ImageSet:
    images = [ScoredImage(file, "", "", number) for number, file in enumerate(files_of(folder))]
    if len(images) < 2:
        raise UserError(f"{folder} has one picture alone: a distance is one of two sets, give two or more.")
    return ImageSet(str(folder), images, folder=folder, protocol=protocol_of(folder))


@torch.inference_mode()
def _fid(sets: Sequence[ImageSet], settings: DistanceSettings) -> tuple[float, dict[str, Any]]:
    from torchmetrics.image.fid import FrechetInceptionDistance  # slow to import

    asked = settings.classifier
    names = {choose_classifier(asked, Path(each.name), each.protocol, _paths(each)) for each in sets}
    network, card = load_features(_only(names, sets))
    metric = FrechetInceptionDistance(feature=network).to(settings.device)
    with exact_float32():
        for each, is_first in zip(sets, (False, True), strict=True):
            for batch in _batches(each, settings.batch_size):
                metric.update(batch.to(settings.device), real=is_first)
        return float(metric.compute()), card  # its sums are float64


def _only(names: set[str], sets: Sequence[ImageSet]) -> str:
    if len(names) > 1:
        raise UserError(
            f"{sets[0].name} and {sets[1].name} hold pictures of different worlds, which no one model sees alike."
        )
    return names.pop()


def _batches(images: ImageSet, size: int) -> Iterator[Tensor]:
    bad: dict[int, BadRow] = {}
    paths = _paths(images)
    with progress("fid", total=len(paths), unit="images") as advance:
        for positions, pixels in decoded_batches(paths, to_uint8, size, bad):
            yield from of_one_size(pixels)
            advance(len(positions))
    _refuse(images, bad)


def _paths(images: ImageSet) -> list[Path]:
    return [image.path for image in images.images]


def _refuse(images: ImageSet, bad: dict[int, BadRow]) -> None:
    """A set with pictures left out would be another set."""
    if bad:
        first = next(iter(bad.values()))
        raise UserError(
            f"{len(bad)} of {len(images.images)} pictures of {images.name} cannot be read, first {first}."
        )


def _cmmd(sets: Sequence[ImageSet], settings: DistanceSettings) -> tuple[float, dict[str, Any]]:
    scorer_set = _only({choose_scorer_set(each) for each in sets}, sets)
    scorer = load_scorer("clip", scorer_source("clip", scorer_set, settings.folders), settings.device)
    embeddings = []
    for each in sets:
        bad: dict[int, BadRow] = {}
        embeddings.append(embed_images(each.images, scorer, settings.batch_size, bad))
        _refuse(each, bad)
    return squared_discrepancy(*embeddings), scorer.card


def squared_discrepancy(a: Tensor, b: Tensor) -> float:
    """CMMD of two sets of normalised embeddings, (N, E) and (M, E): `1000 (k(a, a) + k(b, b) - 2 k(a, b))`.

    `k` is the mean of `exp(-|x - y|^2 / (2 10^2))` over all pairs, a picture with itself among them.
    """
    a, b = a.double(), b.double()
    return SCALE * (_mean_kernel(a, a) + _mean_kernel(b, b) - 2 * _mean_kernel(a, b))


def _mean_kernel(a: Tensor, b: Tensor) -> float:
    """In float64: the three means are all near 1."""
    total = 0.0
    for some in a.split(ROWS_AT_ONCE):
        squares = torch.cdist(some, b).square()
        total += float(torch.expm1(-squares / (2 * BANDWIDTH**2)).sum())
    return total / (len(a) * len(b))  # of the kernel minus 1, which falls out of the sum of three


def check_distances(metrics: Sequence[str]) -> tuple[str, ...]:
    """The metrics asked for, each once. Raises UserError, with those that there are."""
    for name in metrics:
        if name not in METRICS:
            raise UserError(f"Unknown distance {name!r}; choose from {', '.join(METRICS)}.")
    return tuple(dict.fromkeys(metrics))
