"""From a caption of the world back to what it means: the grammar of `scenes`, read the other way."""

from __future__ import annotations

import re

from ddecli.tinyworld.scenes import (
    BACKGROUNDS,
    COLOURS,
    PLACES,
    RELATIONS,
    SHAPES,
    SIZES,
    TEXTURES,
    Description,
    Thing,
)


def _one_of(name: str, values: tuple[str, ...]) -> str:
    return f"(?P<{name}>{'|'.join(values)})"


def _thing(number: str) -> str:
    texture, colour, shape = (
        _one_of(name + number, values)
        for name, values in (("texture", TEXTURES), ("colour", COLOURS), ("shape", SHAPES))
    )
    return f"(?:{texture} )?{colour} {shape}"


_GROUND = re.compile(
    rf"(?:^on an? {_one_of('before', BACKGROUNDS)} background, )|"
    rf"(?: on an? {_one_of('after', BACKGROUNDS)} background$)"
)
_SINGLE = re.compile(rf"an? (?:{_one_of('size', SIZES)} )?{_thing('1')}(?: {_one_of('place', PLACES)})?")
_TWINS = re.compile(rf"two {_thing('1')}(?:s|es)")
_COUPLE = re.compile(rf"an? {_thing('1')} {_one_of('relation', RELATIONS)} an? {_thing('2')}")


def read_caption(text: str) -> Description | None:
    """What a caption says, in any of its wordings; None where it is no caption of the world.

    What is left out stays open, as in "a red circle". Capitals, spaces and a full stop at the end mean nothing.
    """
    text = " ".join(text.lower().split()).rstrip(".")
    grounds = list(_GROUND.finditer(text))
    if len(grounds) > 1:
        return None
    background = next((found["before"] or found["after"] for found in grounds), None)
    body = _GROUND.sub("", text).removeprefix("a picture of ")
    if single := _SINGLE.fullmatch(body):
        thing = _read_thing(single, "1")
        return Description("single", (thing,), single["size"], single["place"], None, background)
    if twins := _TWINS.fullmatch(body):
        return Description("twins", (_read_thing(twins, "1"),), background=background)
    if couple := _COUPLE.fullmatch(body):
        things = (_read_thing(couple, "1"), _read_thing(couple, "2"))
        return Description("couple", things, relation=couple["relation"], background=background)
    return None


def _read_thing(found: re.Match[str], number: str) -> Thing:
    return Thing(found["shape" + number], found["colour" + number], found["texture" + number] or "plain")
