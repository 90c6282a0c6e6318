"""The world's preference pairs: voters choose between drawn, flawed pictures of one caption."""

from __future__ import annotations

import io
from collections.abc import Iterator

from PIL import Image

from ddecli.core.errors import BadRow
from ddecli.core.seeds import numpy_rng
from ddecli.data.pairs import TIE, Pair, Rejects
from ddecli.data.sources.base import Part, Source
from ddecli.tinyworld.annotators import VOTERS
from ddecli.tinyworld.drawing import draw
from ddecli.tinyworld.scenes import Scene, caption, random_description, random_flaws

PICTURES_A_PROMPT = 4


def world_source(votes: int, seed: int = 0) -> Source:
    """The world's pairs as data to prepare."""
    part = Part("world", lambda rejects: world_pairs(votes, seed, rejects), votes)
    return Source(f"world, seed {seed}", "pairs of the built-in world", [part])


def world_pairs(votes: int, seed: int = 0, rejects: Rejects | None = None) -> Iterator[Pair]:
    """Cast `votes` votes and yield the pairs; ties are counted in `rejects` and not yielded.

    As in Pick-a-Pic a voter sees two pictures of a prompt, then the preferred one against a new one: four pictures
    and three votes a prompt. Captions are of the training split.
    """
    rng = numpy_rng("pairs", seed)
    vote = 0
    while vote < votes:
        description = random_description(rng, "train")
        text = caption(description, rng)
        scenes = [
            Scene(description, random_flaws(rng, description), int(rng.integers(2**62)))
            for _ in range(PICTURES_A_PROMPT)
        ]
        standing = scenes[0]
        for challenger in scenes[1 : votes - vote + 1]:
            choice = VOTERS.prefer_first(standing.flaws, challenger.flaws, rng)
            name = f"world:{seed}:{vote}"
            vote += 1
            if choice == 0.5:
                if rejects is not None:
                    rejects.add(name, BadRow(TIE))
                continue
            chosen, rejected = (standing, challenger) if choice == 1 else (challenger, standing)
            yield Pair(text, png(chosen), png(rejected), name, "world")
            standing = chosen


def png(scene: Scene) -> bytes:
    """A scene's picture as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(draw(scene)).save(buffer, "PNG")
    return buffer.getvalue()
