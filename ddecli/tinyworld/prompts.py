"""The world's prompts: captions of the training, validation and test splits, and of the classifier's classes."""

from __future__ import annotations

from ddecli.core.errors import UserError
from ddecli.core.seeds import numpy_rng
from ddecli.tinyworld.scenes import class_descriptions, plain_caption, random_description

NUM_PROMPTS = 400
SPLITS = ("train", "validation", "test", "classes")


def world_prompts(split: str) -> list[str]:
    """Distinct prompts: 400 of `train`, `validation` or `test`, or the 36 of `classes`; always the same.

    Raises:
        UserError: no such split.
    """
    if split == "classes":
        return [plain_caption(description) for description in class_descriptions()]
    if split not in SPLITS:
        raise UserError(f"The world has no prompts {split!r}; choose one of {', '.join(SPLITS)}.")
    rng = numpy_rng("prompts", split)
    prompts: dict[str, None] = {}
    while len(prompts) < NUM_PROMPTS:
        prompts[plain_caption(random_description(rng, split))] = None
    return list(prompts)
