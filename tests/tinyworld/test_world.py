"""The tiny world: fixed by its seeds, honest in its splits, real in its classes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ddecli.core.files import read_json, sha256_file
from ddecli.core.seeds import numpy_rng
from ddecli.data.pairs import Rejects
from ddecli.models.presets import builtin_weights
from ddecli.sampling.sheet import FRAME, MARGIN
from ddecli.tinyworld import annotators, scenes
from ddecli.tinyworld import build as recipe
from ddecli.tinyworld.build import SHIPPED, build
from ddecli.tinyworld.drawing import draw
from ddecli.tinyworld.pairs import world_pairs
from ddecli.tinyworld.prompts import world_prompts
from ddecli.tinyworld.scenes import Flaws, Scene, random_description, random_flaws, random_scene
from ddecli.tinyworld.show import ENLARGED, TITLE_HEIGHT, show_world


def test_the_same_scene_gives_the_same_pixels() -> None:
    scene = random_scene(numpy_rng("test"))
    assert np.array_equal(draw(scene), draw(scene))
    assert draw(scene).shape == (32, 32, 3)


def test_no_caption_is_in_two_splits() -> None:
    rng = numpy_rng("splits")
    by_split: dict[str, set[str]] = {"train": set(), "validation": set(), "test": set()}
    for _ in range(6000):
        description = random_description(rng)
        by_split[description.split].add(scenes.plain_caption(description))
    assert not by_split["train"] & by_split["validation"]
    assert not by_split["train"] & by_split["test"]
    assert not by_split["validation"] & by_split["test"]
    trained_on = {pair.prompt for pair in world_pairs(300)}
    assert not trained_on & set(world_prompts("test"))


def test_a_caption_says_the_same_however_it_is_worded() -> None:
    rng = numpy_rng("words")
    description = random_description(rng, "train")
    while description.background is None:
        description = random_description(rng, "train")
    wordings = {scenes.caption(description, rng) for _ in range(40)}
    assert len(wordings) == 4
    assert all(description.background in each and description.things[0].colour in each for each in wordings)


def test_the_three_scales_weigh_the_same() -> None:
    """Equal chance and equal mean severity at each scale, to three standard errors."""
    rng = numpy_rng("scales")
    meant = random_description(rng)
    severities = np.array([random_flaws(rng, meant).severities for _ in range(6000)])
    mean = scenes.FLAW_CHANCE * sum(scenes.SEVERITIES) / 2
    standard_error = severities.std(0) / np.sqrt(len(severities))
    assert (abs(severities.mean(0) - mean) < 3 * standard_error).all()
    assert annotators.VOTERS.coarse == annotators.VOTERS.middle == annotators.VOTERS.fine


@pytest.mark.parametrize("scale", ["coarse", "middle", "fine"])
def test_every_flaw_changes_the_picture(scale: str) -> None:
    kinds = {"coarse": scenes.COARSE, "middle": scenes.MIDDLE, "fine": scenes.FINE}[scale]
    rng = numpy_rng("flaws")
    meant = random_description(rng)
    while meant.place is None:
        meant = random_description(rng)
    clean = draw(Scene(meant, Flaws(), 5)).astype(float)
    for kind in kinds:
        flawed = draw(Scene(meant, Flaws(**{scale: kind, f"{scale}_severity": 0.9}), 5)).astype(float)
        assert abs(flawed - clean).max() > 50, kind


def test_votes_follow_bradley_terry() -> None:
    """Without a tie margin, P(first) = sigmoid((u1 - u2) / temperature)."""
    rng = numpy_rng("votes")
    voters = annotators.Annotators("x", 1, 1, 1, temperature=0.5, tie_margin=0.0)
    worse, better = Flaws(middle="bent", middle_severity=0.6), Flaws()
    votes = [voters.prefer_first(better, worse, rng) for _ in range(8000)]
    expected = 1 / (1 + np.exp(-0.6 / 0.5))
    assert abs(np.mean(votes) - expected) < 4 * np.sqrt(expected * (1 - expected) / 8000)


def test_pairs_share_pictures_and_count_ties() -> None:
    rejects = Rejects()
    pairs = list(world_pairs(600, seed=1, rejects=rejects))
    assert len(pairs) + rejects.counts["tie"] == 600
    assert 0 < rejects.counts["tie"] < 200
    pictures = {pair.chosen for pair in pairs} | {pair.rejected for pair in pairs}
    assert len(pictures) < 1.5 * len(pairs)
    assert Counter(pair.pair_id for pair in pairs).most_common(1)[0][1] == 1
    assert [pair.chosen for pair in world_pairs(600, seed=1)] == [pair.chosen for pair in pairs]


def test_the_shipped_weights_are_those_of_the_manifest() -> None:
    folder = builtin_weights("")
    manifest = read_json(folder / "manifest.json")
    shipped = {
        path.relative_to(folder).as_posix()
        for name in SHIPPED
        for path in (folder / name).rglob("*")
        if path.is_file()
    }
    assert shipped == set(manifest["sha256"])
    for name, digest in manifest["sha256"].items():
        assert sha256_file(folder / name) == digest, name
    assert sum((folder / name).stat().st_size for name in shipped) < 20e6


def test_the_recipe_builds_a_world_in_a_few_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every stage runs, and the result loads as the shipped world does."""
    monkeypatch.setattr(recipe, "STEPS", 2)  # of the pictures by which the models are examined
    build(tmp_path, scale=0.0005)
    built = {path.name for path in tmp_path.iterdir()}
    assert set(SHIPPED) < built
    here, shipped = (
        {p.relative_to(f) for n in SHIPPED for p in (f / n).rglob("*")}
        for f in (tmp_path, builtin_weights(""))
    )
    assert here == shipped
    stages = read_json(tmp_path / "manifest.json")["stages"]
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")}
    build(tmp_path, scale=0.0005)  # nothing is left to do
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")}
    assert set(stages) >= set(SHIPPED)


def test_the_contact_sheet_is_a_picture(tmp_path: Path) -> None:
    show_world(tmp_path / "world.png")
    sheet = np.asarray(Image.open(tmp_path / "world.png"))
    assert sheet.shape[0] > 500 and sheet.std() > 20
    top = MARGIN + TITLE_HEIGHT
    first = sheet[top : top + ENLARGED, MARGIN : MARGIN + ENLARGED]
    assert (first[0] == FRAME).all() and (first[:, -1] == FRAME).all()  # each picture has a thin frame
    assert not (first[1:-1, 1:-1] == FRAME).all(-1).any()
