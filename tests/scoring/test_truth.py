"""Truth and attributes: of drawn scenes, whose flaws are known."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ddecli.core.errors import UserError
from ddecli.core.seeds import numpy_rng
from ddecli.scoring.published import scorer_source
from ddecli.scoring.score import ScoringSettings, load_scorer, score_images
from ddecli.scoring.sources import read_source
from ddecli.tinyworld.drawing import draw
from ddecli.tinyworld.scenes import Flaws, Scene, plain_caption, random_description

SCENES = 60
FLAWLESS = Flaws()
MISCOLOURED = Flaws(coarse="wrong colour", coarse_severity=0.7)
MARRED = Flaws(middle="broken", middle_severity=0.9, fine="speckle", fine_severity=0.9)


def draw_folder(folder: Path, flaws: Flaws) -> Path:
    """Pictures of unseen captions, all with these flaws, with their captions beside them."""
    folder.mkdir()
    rng = numpy_rng("truth")
    for number in range(SCENES):
        description = random_description(rng, "validation")
        picture = draw(Scene(description, flaws, int(rng.integers(2**62))))
        Image.fromarray(picture).save(folder / f"{number:03d}.png")
        (folder / f"{number:03d}.txt").write_text(plain_caption(description))
    return folder


@pytest.fixture(scope="module")
def means(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, float]]:
    """Mean scores of drawn scenes by their flaws and metric."""
    found = {}
    root = tmp_path_factory.mktemp("drawn")
    for name, flaws in (("flawless", FLAWLESS), ("miscoloured", MISCOLOURED), ("marred", MARRED)):
        source = read_source([draw_folder(root / name, flaws)])
        scores = score_images(source, ScoringSettings(("truth", "attributes"), "tiny"), out=None)
        found[name] = {metric: float(values.score.mean()) for metric, values in scores.metrics.items()}
    return found


def test_truth_is_the_utility_of_what_is_drawn(means: dict[str, dict[str, float]]) -> None:
    """1 without flaws, a third of the severity less for each: to what a judge of 32 pixels can read."""
    assert means["flawless"]["truth"] == pytest.approx(1, abs=0.05)
    assert means["miscoloured"]["truth"] == pytest.approx(1 - 0.7 / 3, abs=0.06)
    assert means["marred"]["truth"] == pytest.approx(1 - 1.8 / 3, abs=0.12)


def test_attributes_say_what_is_wrong(means: dict[str, dict[str, float]]) -> None:
    for name in ("flawless", "marred"):  # flaws of drawing make nothing wrong that a caption says
        assert min(value for metric, value in means[name].items() if metric != "truth") > 0.85, name
    miscoloured = means["miscoloured"]
    assert miscoloured["attributes"] < 0.1 and miscoloured["attributes.colour"] < 0.1
    others = ("shape", "texture", "count", "size", "place", "background")
    assert min(miscoloured[f"attributes.{each}"] for each in others) > 0.85


def test_each_attribute_is_scored_where_the_caption_names_it(tmp_path: Path) -> None:
    source = read_source([draw_folder(tmp_path / "drawn", FLAWLESS)])
    scores = score_images(source, ScoringSettings(("attributes",), "tiny"), out=None)
    by_id = {image.prompt_id: image.prompt for image in source.images}
    placed = {by_id[each] for each in scores.metrics["attributes.place"].prompt_id.tolist()}
    assert placed == {prompt for prompt in by_id.values() if " the " in prompt}
    coupled = {by_id[each] for each in scores.metrics["attributes.relation"].prompt_id.tolist()}
    assert coupled == {prompt for prompt in by_id.values() if " left of " in prompt or " above " in prompt}
    assert len(scores.metrics["attributes"].score) == len(source.images)
    assert scores.scorers["attributes.place"]["name"] == "attributes.place"


def test_batches_change_nothing(tmp_path: Path) -> None:
    source = read_source([draw_folder(tmp_path / "drawn", MARRED)])
    settings = ScoringSettings(("truth", "attributes"), "tiny", batch_size=7)
    small, large = (score_images(source, replace(settings, batch_size=size), out=None) for size in (7, 60))
    for metric, values in small.metrics.items():
        np.testing.assert_allclose(values.score, large.metrics[metric].score, atol=1e-4)


def test_a_prompt_that_is_no_caption_of_the_world_is_refused(tmp_path: Path) -> None:
    folder = draw_folder(tmp_path / "drawn", FLAWLESS)
    (folder / "007.txt").write_text("a cat on a sofa")
    with pytest.raises(UserError, match='truth cannot be told for "a cat on a sofa"'):
        score_images(read_source([folder]), ScoringSettings(("truth",), "tiny"), out=None)


def test_both_have_one_model_and_say_so() -> None:
    cards = [
        load_scorer(metric, scorer_source(metric, "tiny"), "cpu").card for metric in ("truth", "attributes")
    ]
    assert cards[0]["model"] == cards[1]["model"] == "tiny/judge"
    assert cards[0]["sha256"] == cards[1]["sha256"] and cards[0]["scale"] != cards[1]["scale"]
    assert json.dumps(cards)
