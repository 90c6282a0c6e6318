"""Captions are read back to what they were made from."""

from __future__ import annotations

import pytest

from ddecli.core.seeds import numpy_rng
from ddecli.tinyworld.prompts import world_prompts
from ddecli.tinyworld.reading import read_caption
from ddecli.tinyworld.scenes import Description, Thing, caption, random_description


def test_every_wording_of_every_kind_of_caption_is_read_back() -> None:
    rng = numpy_rng("captions to read")
    layouts = set()
    for _ in range(4000):
        description = random_description(rng)
        assert read_caption(caption(description, rng)) == description
        layouts.add((description.layout, description.background is None))
    assert layouts == {("single", True), ("single", False), ("twins", False), ("couple", False)}


@pytest.mark.parametrize("split", ["validation", "test", "classes"])
def test_all_prompts_of_the_world_are_read(split: str) -> None:
    assert all(read_caption(prompt) for prompt in world_prompts(split))


@pytest.mark.parametrize("text", ["a red circle", "A Red  Circle.", " a picture of a red circle"])
def test_what_is_left_out_stays_open(text: str) -> None:
    assert read_caption(text) == Description("single", (Thing("circle", "red"),))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a cat",
        "a red",
        "a red circle and a blue square",
        "red circle",
        "a red circle left of a blue square in the centre",
        "on a white background, a red circle on a black background",
        "a red circle on a pink background",
        "three red circles",
    ],
)
def test_other_texts_are_no_captions(text: str) -> None:
    assert read_caption(text) is None
