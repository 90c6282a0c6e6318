"""What is drawn, against shapes counted out slowly, and as it was drawn when the shipped weights were trained."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from ddecli.core.seeds import numpy_rng
from ddecli.tinyworld.annotators import BEAUTY, FAITH, VOTERS, Annotators
from ddecli.tinyworld.bank import batch_indices, make_bank
from ddecli.tinyworld.classifier import class_names, classified_batch
from ddecli.tinyworld.clip import altered
from ddecli.tinyworld.drawing import _signed_distance, draw
from ddecli.tinyworld.pairs import world_pairs
from ddecli.tinyworld.prompts import world_prompts
from ddecli.tinyworld.scenes import (
    COARSE,
    FINE,
    MIDDLE,
    SHAPES,
    Flaws,
    caption,
    random_scene,
)


def digest(*parts: object) -> str:
    found = hashlib.sha256()
    for part in parts:
        found.update(part if isinstance(part, bytes) else repr(part).encode())
    return found.hexdigest()[:16]


def test_the_world_is_the_one_that_the_shipped_weights_know() -> None:
    """Scenes, captions, pictures, votes and batches: with any other of them the weights are of another world."""
    rng = numpy_rng("golden")
    scenes = [random_scene(rng, None if number % 2 else "train") for number in range(400)]
    seen = {getattr(scene.flaws, scale) for scene in scenes for scale in ("coarse", "middle", "fine")}
    assert seen == {None, *COARSE, *MIDDLE, *FINE}
    found = {
        "scenes": digest(scenes),
        "captions": digest([caption(scene.description, rng) for scene in scenes]),
        "altered": digest([altered(scene.description, rng) for scene in scenes]),
        "pictures": digest(*(draw(scene).tobytes() for scene in scenes)),
        "pairs": digest([(pair.prompt, pair.pair_id) for pair in world_pairs(200)]),
        "prompts": digest([world_prompts(split) for split in ("validation", "test", "classes")]),
        "bank": digest(make_bank("golden", 8).pictures.numpy().tobytes(), batch_indices("golden", 3, 99, 8)),
        "classes": digest(class_names(), *(part.numpy().tobytes() for part in classified_batch(1))),
    }
    assert found == GOLDEN


GOLDEN = {
    "scenes": "ad6ab3811b1f3aee",
    "captions": "8b2b8136bfb2edaa",
    "altered": "2f46ec19de83e3a1",
    "pictures": "d23cb2e356ad70c0",
    "pairs": "e4323ed0f136e94b",
    "prompts": "102278e6d73d956b",
    "bank": "07801b4f584c9878",
    "classes": "701dea087b4ac7d5",
}


def is_inside(shape: str, u: float, v: float) -> bool:
    """Whether a point lies within a shape of radius 1; v points down."""
    r = float(np.hypot(u, v))
    if shape == "circle":
        return r < 0.95
    if shape == "square":
        return max(abs(u), abs(v)) < 0.82
    if shape == "triangle":  # tip at -1, foot at 0.7
        return v < 0.7 and abs(u) * 0.866 - v * 0.5 < 0.5
    if shape == "cross":
        return (abs(u) < 0.3 and abs(v) < 1) or (abs(v) < 0.3 and abs(u) < 1)
    if shape == "ring":
        return 0.42 < r < 0.98
    turn = (np.degrees(np.arctan2(u, -v)) % 72) / 72  # a star of five tips, the first one up
    return r < 0.42 + 0.68 * abs(2 * turn - 1) ** 1.3


@pytest.mark.parametrize("shape", SHAPES)
def test_outlines_are_the_shapes_they_are_called(shape: str) -> None:
    points = np.linspace(-1.2345, 1.1987, 61)
    u, v = np.meshgrid(points, points)
    distance = _signed_distance(shape, u, v)
    inside = np.array(
        [[is_inside(shape, x, y) for x, y in zip(*row, strict=True)] for row in zip(u, v, strict=True)]
    )
    clear = abs(distance) > 1e-9
    assert (inside[clear] == (distance < 0)[clear]).all() and clear.mean() > 0.99
    assert 0.1 < inside.mean() < 0.6


@pytest.mark.parametrize(
    ("group", "flaws", "utility"),
    [
        (VOTERS, Flaws("wrong shape", "bent", "speckle", 0.7, 0.5, 0.25), -1.45),
        (BEAUTY, Flaws("wrong shape", "bent", "speckle", 0.7, 0.5, 0.25), -(0.35 + 0.9375)),
        (FAITH, Flaws("wrong shape", "bent", "speckle", 0.7, 0.5, 0.25), -(1.26 + 0.45)),
        (VOTERS, Flaws(), 0.0),
    ],
)
def test_utilities_are_weighed_severities(group: Annotators, flaws: Flaws, utility: float) -> None:
    assert group.utility(flaws) == pytest.approx(utility)


def test_ties_are_votes_within_the_margin() -> None:
    """Rao and Kupper: P(tie) = F((m - d) / s) - F((-m - d) / s), F the logistic function."""
    voters = Annotators("x", 1, 1, 1)
    better, worse = Flaws(), Flaws(middle="bent", middle_severity=0.1)
    rng = numpy_rng("ties")
    votes = np.array([voters.prefer_first(better, worse, rng) for _ in range(6000)])

    def below(z: float) -> float:
        return 1 / (1 + np.exp(-z / 0.15))

    for vote, share in ((0.5, below(0.05 - 0.1) - below(-0.05 - 0.1)), (0.0, below(-0.05 - 0.1))):
        assert abs((votes == vote).mean() - share) < 4 * np.sqrt(share * (1 - share) / 6000)
