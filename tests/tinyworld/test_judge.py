"""The judge's readings, held to captions by hand and by the annotators' own formula."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from ddecli.core.seeds import numpy_rng
from ddecli.tinyworld.annotators import VOTERS
from ddecli.tinyworld.judge import (
    FLAW_HEADS,
    HEADS,
    OUTPUTS,
    attributes_right,
    expected_utility,
    split_outputs,
    true_classes,
)
from ddecli.tinyworld.judging import IGNORED, targets
from ddecli.tinyworld.scenes import (
    ATTRIBUTES,
    Description,
    Flaws,
    Scene,
    Thing,
    random_description,
    random_flaws,
)

RED, BLUE = Thing("ring", "red", "striped"), Thing("star", "blue")
SINGLE = Description("single", (RED,), "small", "at the top", None, "white")
TWINS = Description("twins", (RED,), background="grey")
COUPLE = Description("couple", (RED, BLUE), relation="left of", background="black")


def certain(description: Description, middle: float = 0.0, fine: float = 0.0) -> Tensor:
    """What a judge gives that is sure of seeing what a description says, (1, OUTPUTS)."""
    outputs = torch.zeros(1, OUTPUTS)
    logits, severities = split_outputs(outputs)
    for head, wanted in true_classes(description).items():
        logits[head][0, wanted] = 100
    severities[0] = torch.tensor([middle, fine])
    return outputs


def right(shown: Description, asked: Description) -> dict[str, float]:
    """What of a caption is right, of those attributes that it names."""
    found = attributes_right(certain(shown), [asked])
    return {name: float(value[0]) for name, value in found.items() if not np.isnan(value[0])}


def test_all_is_right_of_a_picture_that_shows_its_caption() -> None:
    common = {"shape", "colour", "texture", "count", "background", "all"}
    assert right(SINGLE, SINGLE) == dict.fromkeys(common | {"size", "place"}, 1.0)
    assert right(TWINS, TWINS) == dict.fromkeys(common, 1.0)
    assert right(COUPLE, COUPLE) == dict.fromkeys(common | {"relation", "binding"}, 1.0)
    assert set(ATTRIBUTES) == {"size", "place", "relation", "binding"} | common - {"all"}


def test_what_a_caption_leaves_open_is_not_judged() -> None:
    assert right(SINGLE, Description("single", (RED,))) == dict.fromkeys(
        ("shape", "colour", "texture", "count", "all"), 1.0
    )


@pytest.mark.parametrize(
    ("shown", "asked", "wrong"),
    [
        (replace(SINGLE, things=(replace(RED, shape="star"),)), SINGLE, {"shape"}),
        (replace(SINGLE, things=(replace(RED, colour="green"),)), SINGLE, {"colour"}),
        (replace(SINGLE, things=(replace(RED, texture="dotted"),)), SINGLE, {"texture"}),
        (replace(SINGLE, place="on the left"), SINGLE, {"place"}),
        (replace(SINGLE, size="large"), SINGLE, {"size"}),
        (replace(SINGLE, background="grey"), SINGLE, {"background"}),
        (replace(COUPLE, relation="above"), COUPLE, {"relation"}),
        # The other way round: the things are right, their places are not.
        (replace(COUPLE, things=(BLUE, RED)), COUPLE, {"relation"}),
        # The colours are there, and belong to the wrong things.
        (
            replace(COUPLE, things=(replace(RED, colour="blue"), replace(BLUE, colour="red"))),
            COUPLE,
            {"binding"},
        ),
        (
            replace(COUPLE, things=(replace(RED, texture="dotted"), BLUE)),
            COUPLE,
            {"texture"},
        ),
        (
            replace(COUPLE, things=(replace(RED, shape="square"), BLUE)),
            COUPLE,
            {"shape", "binding"},
        ),
    ],
)
def test_each_attribute_is_judged_by_itself(shown: Description, asked: Description, wrong: set[str]) -> None:
    found = right(shown, asked)
    assert {name for name, value in found.items() if value == 0} == wrong | {"all"}


def test_one_thing_where_two_are_asked_for_is_a_wrong_count() -> None:
    assert right(replace(SINGLE, background="grey"), TWINS)["count"] == 0
    assert right(TWINS, SINGLE)["count"] == 0


@pytest.mark.parametrize(("middle", "fine"), [(0.0, 0.0), (0.8, 0.3), (0.0, 1.0)])
def test_the_utility_is_the_voters_where_the_judge_is_certain(middle: float, fine: float) -> None:
    flaws = Flaws(middle="bent", fine="speckle", middle_severity=middle, fine_severity=fine)
    for description in (SINGLE, TWINS, COUPLE):
        found = expected_utility(certain(description, middle, fine), [description])
        assert float(found) == pytest.approx(VOTERS.utility(flaws), abs=1e-6)
    coarse = replace(flaws, coarse="wrong colour", coarse_severity=0.7)
    other = replace(SINGLE, things=(replace(RED, colour="blue"),))
    assert float(expected_utility(certain(other, middle, fine), [SINGLE])) == pytest.approx(
        VOTERS.utility(coarse), abs=1e-6
    )


def test_a_texture_that_is_not_the_captions_costs_as_a_fine_flaw_does() -> None:
    other = replace(SINGLE, things=(replace(RED, texture="plain"),))
    for fine, cost in ((0.0, 0.7), (0.5, 0.7), (0.9, 0.9)):
        assert float(expected_utility(certain(other, 0, fine), [SINGLE])) == pytest.approx(-cost, abs=1e-6)


def test_an_uncertain_judge_gives_the_expectation() -> None:
    """Against an enumeration of every reading of the heads that a caption asks about."""
    outputs = torch.from_numpy(numpy_rng("uncertain").normal(0, 1, (1, OUTPUTS))).float()
    outputs[0, -2:] = torch.tensor([0.3, 0.2])
    logits, _ = split_outputs(outputs)
    chance = {head: each.softmax(-1)[0].tolist() for head, each in logits.items()}
    want = true_classes(SINGLE)
    expected = 0.0
    for count in range(2):
        for place in range(5):
            for shape in range(6):
                for colour in range(6):
                    for texture in range(3):
                        read = {"count": count, "place": place, "shape": shape, "colour": colour}
                        wrong = any(want[head] != value for head, value in read.items())
                        fine = 0.2 if texture == want["texture"] else 0.7
                        p = chance["texture"][texture]
                        for head, value in read.items():
                            p *= chance[head][value]
                        expected -= p * (0.7 * wrong + 0.3 + fine)
    assert float(expected_utility(outputs, [SINGLE])) == pytest.approx(expected, rel=1e-5)


def test_the_targets_of_a_training_are_what_is_drawn() -> None:
    flaws = Flaws(middle="broken", fine="ragged edge", middle_severity=0.5, fine_severity=0.9)
    classes, severities = targets([Scene(COUPLE, flaws, 0), Scene(SINGLE, Flaws(), 1)])
    heads = [*HEADS, *FLAW_HEADS]
    couple, single = (dict(zip(heads, row.tolist(), strict=True)) for row in classes)
    assert couple["place"] == couple["size"] == single["relation"] == single["shape of the second"] == IGNORED
    assert (HEADS["shape of the second"][couple["shape of the second"]], couple["count"]) == ("star", 1)
    assert FLAW_HEADS["middle"][couple["middle"]] == "broken" and single["fine"] == 0
    assert severities.tolist() == pytest.approx(np.array([[0.5, 0.9], [0, 0]]))


def test_random_scenes_have_a_class_for_all_that_is_said() -> None:
    rng = numpy_rng("judged")
    for _ in range(300):
        description = random_description(rng)
        Scene(description, random_flaws(rng, description), 0)
        assert all(0 <= value < len(HEADS[head]) for head, value in true_classes(description).items())
