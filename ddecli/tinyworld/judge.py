"""The world's judge: a network that reads from a picture what it shows and how it is marred.

It has a head an attribute and one for the severity of middle and of fine flaws. It learned them from drawn scenes,
as drawn and through the autoencoder, and never saw a generated picture. A caption is not given to it: what a picture
shows is held to the caption afterwards, by `attributes_right` (a GenEval [Ghosh et al. 2023] for this world) and by
`expected_utility`, the voters' own formula.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel

from ddecli.tinyworld.annotators import VOTERS
from ddecli.tinyworld.scenes import (
    ATTRIBUTES,
    BACKGROUNDS,
    COLOURS,
    FINE,
    MIDDLE,
    PLACES,
    RELATIONS,
    SEVERITIES,
    SHAPES,
    SIZES,
    TEXTURES,
    Description,
    Thing,
)

HEADS: dict[str, tuple[str, ...]] = {
    "background": BACKGROUNDS,
    "place": PLACES,
    "size": SIZES,
    "count": ("one", "two"),
    "relation": RELATIONS,
    "shape": SHAPES,
    "colour": COLOURS,
    "texture": TEXTURES,
    "shape of the second": SHAPES,
    "colour of the second": COLOURS,
    "texture of the second": TEXTURES,
}
"""What is read, and its classes. The first of two things is the left or upper one."""
OF_A_THING = ("shape", "colour", "texture")
SECOND = " of the second"
FLAW_HEADS: dict[str, tuple[str, ...]] = {"middle": ("none", *MIDDLE), "fine": ("none", *FINE[:2])}
"""Kinds of flaws that a picture alone can show; a texture that is not the caption's is told by the head of textures."""
SEVERITY_OF_A_MISMATCH = sum(SEVERITIES) / 2
SIZES_OF_PARTS = (*map(len, HEADS.values()), *map(len, FLAW_HEADS.values()), len(FLAW_HEADS))
OUTPUTS = sum(SIZES_OF_PARTS)


class JudgeConfig(PretrainedConfig):
    """Widths of the judge's network."""

    model_type = "scene-judge"

    def __init__(self, width: int = 48, hidden: int = 256, **rest: Any) -> None:
        self.width, self.hidden = width, hidden
        super().__init__(**rest)


class SceneJudge(PreTrainedModel):
    """Pictures (N, 3, 32, 32) in [-1, 1] to (N, OUTPUTS): the logits of every head in turn, then the two
    severities.

    Where things are matters, so the last map of features is kept whole, not averaged.
    """

    config_class = JudgeConfig
    main_input_name = "pixel_values"

    def __init__(self, config: JudgeConfig) -> None:
        super().__init__(config)
        width = config.width
        self.features = nn.Sequential(
            *_convolution(3, width),
            *_convolution(width, width),
            *_convolution(width, 2 * width, stride=2),
            *_convolution(2 * width, 2 * width),
            *_convolution(2 * width, 3 * width, stride=2),
            *_convolution(3 * width, 3 * width),
            *_convolution(3 * width, 3 * width, stride=2),
            nn.Flatten(),
            nn.Dropout(0.1),
            nn.Linear(3 * width * 16, config.hidden),
            nn.SiLU(),
        )
        self.heads = nn.Linear(config.hidden, OUTPUTS)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Keep torch's own: transformers' are for transformers."""

    def forward(self, pixel_values: Tensor) -> Tensor:
        """See the class."""
        return self.heads(self.features(pixel_values))


def _convolution(inner: int, outer: int, stride: int = 1) -> tuple[nn.Module, ...]:
    return nn.Conv2d(inner, outer, 3, padding=1, stride=stride), nn.BatchNorm2d(outer), nn.SiLU()


def split_outputs(outputs: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    """The logits (N, classes) of every head and flaw head, and the severities (N, 2), of the judge's outputs."""
    *logits, severities = outputs.split(SIZES_OF_PARTS, dim=-1)
    return dict(zip((*HEADS, *FLAW_HEADS), logits, strict=True)), severities


def things_of(description: Description) -> tuple[Thing, ...]:
    """The things that a scene of this description shows, one or two."""
    return description.things * (2 if description.layout == "twins" else 1)


def true_classes(description: Description) -> dict[str, int]:
    """The class of every head for a scene without coarse flaws; heads that the description leaves open are absent."""
    things = things_of(description)
    values: dict[str, str | None] = {
        "background": description.background,
        "place": description.place,
        "size": description.size,
        "relation": description.relation,
        "count": HEADS["count"][len(things) - 1],
    }
    for thing, ordinal in zip(things, ("", SECOND), strict=False):
        values |= {kind + ordinal: getattr(thing, kind) for kind in OF_A_THING}
    return {head: HEADS[head].index(value) for head, value in values.items() if value is not None}


def attributes_right(outputs: Tensor, descriptions: list[Description]) -> dict[str, np.ndarray]:
    """Which attributes of each picture are as its caption says.

    Of two things shapes, colours and textures are each compared whichever thing has them; whether each shape has its
    own colour is `binding`, and which thing is where `relation`.

    Args:
        outputs: the judge's, (N, OUTPUTS).
        descriptions: what each caption says.

    Returns:
        for each of `ATTRIBUTES` and `all`: (N,) float32, 1 right, 0 wrong, NaN where the caption leaves it open.
    """
    logits, _ = split_outputs(outputs)
    read = {head: each.argmax(-1).tolist() for head, each in logits.items()}
    right = {name: np.full(len(descriptions), np.nan, np.float32) for name in (*ATTRIBUTES, "all")}
    for row, description in enumerate(descriptions):
        shown = _shown(description, {head: values[row] for head, values in read.items()})
        for name, value in shown.items():
            right[name][row] = value
        right["all"][row] = all(shown.values())
    return right


def _shown(description: Description, read: dict[str, int]) -> dict[str, bool]:
    """What of a description is right, from the class that was read by every head."""
    want = true_classes(description)
    right: dict[str, bool] = {
        name: read[name] == want[name] for name in ("background", "place", "size") if name in want
    }
    right["count"] = read["count"] == want["count"]
    ordinals = ("", SECOND)[: len(things_of(description))]
    for kind in OF_A_THING:
        right[kind] = sorted(read[kind + each] for each in ordinals) == sorted(
            want[kind + each] for each in ordinals
        )
    if description.layout == "couple":
        as_said, other_way = _matches(read, want, ordinals), _matches(read, want, ordinals[::-1])
        right["relation"] = read["relation"] == want["relation"] and sum(as_said) > sum(other_way)
        right["binding"] = all(as_said[:4]) or all(other_way[:4])  # shapes and colours
    return right


def _matches(read: dict[str, int], want: dict[str, int], order: tuple[str, ...]) -> list[bool]:
    """Whether shapes, colours and textures of two things are those of the caption's things in this order, (6,)."""
    return [
        read[kind + seen] == want[kind + meant]
        for kind in OF_A_THING
        for seen, meant in zip(("", SECOND), order, strict=True)
    ]


def expected_utility(outputs: Tensor, descriptions: list[Description]) -> Tensor:
    """The voters' utility (annotators.py) of pictures for their captions, expected under what the judge reads.

    u = -(c S + m + f): S the mean severity of what is there or not, c the chance that a colour, shape, number or
    place is not the caption's; m the severity of middle flaws; f the severity of fine ones, or S where that is more
    and the texture is not the caption's.

    Args:
        outputs: the judge's, (N, OUTPUTS).
        descriptions: what each caption says.

    Returns:
        (N,) float32, at most 0.
    """
    logits, severities = split_outputs(outputs.float())
    chances = {head: each.softmax(-1) for head, each in logits.items()}
    middle, fine = severities.clamp(0, 1).unbind(-1)
    coarse_right, texture_right = torch.ones_like(middle), torch.ones_like(middle)
    for row, description in enumerate(descriptions):
        for head, wanted in true_classes(description).items():
            if head in ("background", "size"):  # no annotator's flaw
                continue
            target = texture_right if head.startswith("texture") else coarse_right
            target[row] *= chances[head][row, wanted]
    lost = SEVERITY_OF_A_MISMATCH
    fine = texture_right * fine + (1 - texture_right) * fine.clamp(min=lost)
    return -(VOTERS.coarse * lost * (1 - coarse_right) + VOTERS.middle * middle + VOTERS.fine * fine)
