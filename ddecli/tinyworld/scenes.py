"""What a picture is meant to show, how a caption says it, and what can be wrong with it.

A `Description` is what the caption says. A `Scene` is what is drawn: the description, its free choices
(exact place, tilt, ...) and its `Flaws`, one at most at each of three scales. The scales weigh the same in the
hidden utility by construction: equal chance, equal mean severity. This was fixed before any method was run.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np

from ddecli.core.seeds import seed_of

SHAPES = ("circle", "square", "triangle", "cross", "star", "ring")
COLOURS = ("red", "green", "blue", "yellow", "purple", "orange")
TEXTURES = ("plain", "striped", "dotted")
BACKGROUNDS = ("white", "grey", "black")
PLACES = ("in the centre", "on the left", "on the right", "at the top", "at the bottom")
SIZES = ("small", "large")
RELATIONS = ("left of", "above")

ATTRIBUTES = ("shape", "colour", "texture", "count", "size", "place", "relation", "binding", "background")
"""What a caption can say. `binding`: of two things, that each shape has the colour it says."""

COARSE = ("wrong colour", "wrong shape", "wrong number", "wrong place")
MIDDLE = ("bent", "broken", "lopsided", "displaced part")
FINE = ("speckle", "ragged edge", "wrong texture")

FLAW_CHANCE = 0.4
"""Chance of a flaw at each scale, independently."""
SEVERITIES = (0.4, 1.0)
"""A flaw's severity is uniform between these; a flaw that is either there or not counts their mean."""


@dataclass(frozen=True)
class Thing:
    """One kind of object: its shape, colour and the texture of its fill."""

    shape: str
    colour: str
    texture: str = "plain"


@dataclass(frozen=True)
class Description:
    """What a caption says. `None` means that the caption leaves it open.

    `layout` is "single" (one thing, with a size and a place), "twins" (the same thing twice) or
    "couple" (two things and a relation).
    """

    layout: str
    things: tuple[Thing, ...]
    size: str | None = None
    place: str | None = None
    relation: str | None = None
    background: str | None = None

    @property
    def split(self) -> str:
        """`train`, `validation` or `test`: a function of the meaning, so that no caption is in two splits."""
        if self.background is None:
            return "train"
        share = seed_of("split", repr(self)) % 100
        return "validation" if share < 10 else "test" if share < 20 else "train"


@dataclass(frozen=True)
class Flaws:
    """What is wrong with a scene: one kind and its severity (0 none .. 1 worst) at each scale."""

    coarse: str | None = None
    middle: str | None = None
    fine: str | None = None
    coarse_severity: float = 0.0
    middle_severity: float = 0.0
    fine_severity: float = 0.0

    @property
    def severities(self) -> tuple[float, float, float]:
        """Severity at the coarse, middle and fine scale."""
        return self.coarse_severity, self.middle_severity, self.fine_severity


@dataclass(frozen=True)
class Scene:
    """A picture to be drawn: a description, its flaws, and a seed for the free choices."""

    description: Description
    flaws: Flaws
    seed: int


def random_description(rng: np.random.Generator, split: str | None = None) -> Description:
    """Draw a description, of one split if given; one in ten says only colour and shape."""
    while True:
        description = _any_description(rng)
        if split is None or description.split == split:
            return description


def _any_description(rng: np.random.Generator) -> Description:
    thing = _random_thing(rng)
    kind = rng.random()
    if kind < 0.1:
        return Description("single", (replace(thing, texture="plain"),))
    background = str(rng.choice(BACKGROUNDS))
    if kind < 0.55:
        size, place = str(rng.choice(SIZES)), str(rng.choice(PLACES))
        return Description("single", (thing,), size=size, place=place, background=background)
    if kind < 0.7:
        return Description("twins", (thing,), background=background)
    other = _random_thing(rng)
    while other.shape == thing.shape or other.colour == thing.colour:
        other = _random_thing(rng)
    relation = str(rng.choice(RELATIONS))
    return Description("couple", (thing, other), relation=relation, background=background)


def _random_thing(rng: np.random.Generator) -> Thing:
    return Thing(str(rng.choice(SHAPES)), str(rng.choice(COLOURS)), str(rng.choice(TEXTURES)))


def random_flaws(rng: np.random.Generator, description: Description) -> Flaws:
    """Draw the flaws of one scene: at each scale one with chance `FLAW_CHANCE`."""
    mean = sum(SEVERITIES) / 2
    coarse, middle, fine = (rng.random(3) < FLAW_CHANCE).tolist()
    # Where the caption leaves the place open, no place is wrong.
    coarse_kinds = COARSE if description.place or description.relation else COARSE[:3]
    coarse_kind = str(rng.choice(coarse_kinds)) if coarse else None
    middle_kind = str(rng.choice(MIDDLE)) if middle else None
    fine_kind = str(rng.choice(FINE)) if fine else None
    middle_severity, fine_severity = rng.uniform(*SEVERITIES, 2).tolist()
    return Flaws(
        coarse=coarse_kind,
        middle=middle_kind,
        fine=fine_kind,
        coarse_severity=mean if coarse else 0.0,
        middle_severity=middle_severity if middle else 0.0,
        fine_severity=(mean if fine_kind == "wrong texture" else fine_severity) if fine else 0.0,
    )


def random_scene(rng: np.random.Generator, split: str | None = "train", flawed: bool = True) -> Scene:
    """Draw a scene; `flawed=False` gives one without any flaw."""
    description = random_description(rng, split)
    flaws = random_flaws(rng, description) if flawed else Flaws()
    return Scene(description, flaws, int(rng.integers(2**62)))


def caption(description: Description, rng: np.random.Generator) -> str:
    """Say a description in words; the wording varies, the meaning does not."""
    return _say(description, str(rng.choice(("", "a picture of "))), bool(rng.random() < 0.3))


def plain_caption(description: Description) -> str:
    """The one standard wording of a description."""
    return _say(description, "", background_first=False)


def _say(description: Description, opening: str, background_first: bool) -> str:
    first = description.things[0]
    if description.layout == "twins":
        body = f"two {_thing_words(first)}s" if first.shape != "cross" else f"two {_thing_words(first)}es"
    elif description.layout == "couple":
        second = description.things[1]
        body = f"{_a(_thing_words(first))} {description.relation} {_a(_thing_words(second))}"
    else:
        size = f"{description.size} " if description.size else ""
        place = f" {description.place}" if description.place else ""
        body = f"{_a(size + _thing_words(first))}{place}"
    body = opening + body
    if description.background is None:
        return body
    ground = f"on a {description.background} background"
    return f"{ground}, {body}" if background_first else f"{body} {ground}"


def _a(words: str) -> str:
    return f"an {words}" if words.startswith("orange") else f"a {words}"


def _thing_words(thing: Thing) -> str:
    texture = "" if thing.texture == "plain" else f"{thing.texture} "
    return f"{texture}{thing.colour} {thing.shape}"


def class_descriptions() -> list[Description]:
    """The 36 classes of the classifier, colour x shape, as captions that say nothing else."""
    return [
        Description("single", (Thing(shape, colour),)) for colour, shape in itertools.product(COLOURS, SHAPES)
    ]
