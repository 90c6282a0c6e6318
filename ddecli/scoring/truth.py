"""What the tiny world's judge says of a picture: its utility for the annotators, and what of the caption is right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from transformers import CLIPImageProcessorPil

from ddecli.core.devices import exact_float32
from ddecli.core.errors import UserError
from ddecli.scoring.scorer import Scorer
from ddecli.scoring.weights import Weights
from ddecli.tinyworld.judge import SceneJudge, attributes_right, expected_utility
from ddecli.tinyworld.reading import read_caption
from ddecli.tinyworld.scenes import ATTRIBUTES, Description

UTILITY_SPAN = 3.0
"""Utility -3 .. 0 (three flaws of severity 1 .. none) is laid on 0 .. 1."""


class JudgeScorer(Scorer):
    """A score that is computed from what the judge reads in a picture, and from what its caption says."""

    needs = "judge of the tiny world"
    example = "a red circle"
    model: SceneJudge

    def load(self, weights: Weights) -> None:
        self.model, found = SceneJudge.from_pretrained(
            weights.model, dtype=torch.float32, output_loading_info=True
        )
        if found["missing_keys"]:  # transformers would go on with random ones
            raise ValueError(f"{len(found['missing_keys'])} weights are missing")
        self.image_processor = CLIPImageProcessorPil.from_pretrained(weights.companion)

    def check_prompts(self, prompts: Sequence[str]) -> None:
        self._read(prompts)

    @torch.inference_mode()
    def embed(self, pixels: Sequence[Tensor], prompts: Sequence[str]) -> Tensor:
        """The judge's outputs, (N, OUTPUTS); `prompts` are not looked at."""
        with exact_float32():
            return self.model(pixel_values=torch.stack(list(pixels)).to(self.device)).cpu()

    def _read(self, prompts: Sequence[str]) -> list[Description]:
        read = {prompt: read_caption(prompt) for prompt in dict.fromkeys(prompts)}
        for prompt, description in read.items():
            if description is None:
                raise UserError(
                    f'{self.name} cannot be told for "{prompt[:80]}", which is no caption of the tiny world such as '
                    f'"a small striped red ring on the left on a white background": leave {self.name} out.'
                )
        return [description for prompt in prompts if (description := read[prompt])]


class TruthScore(JudgeScorer):
    """The voters' utility u <= 0 of a picture for its caption, as the judge expects it: 1 + u / 3."""

    name = "truth"
    scale = "1 + u / 3 of the voters' utility u, as the judge reads it"

    def score_embeddings(self, embeddings: Tensor, prompts: Sequence[str]) -> Tensor:
        """See the class."""
        return 1 + expected_utility(embeddings, self._read(prompts)) / UTILITY_SPAN


class AttributesScore(JudgeScorer):
    """1 where all that a caption says is right, as the judge reads the picture, else 0; and so of each attribute."""

    name = "attributes"
    scale = "1 right, 0 wrong"
    part_scales: ClassVar[dict[str, str]] = {f"attributes.{each}": "1 right, 0 wrong" for each in ATTRIBUTES}

    def score_embeddings(self, embeddings: Tensor, prompts: Sequence[str]) -> Tensor:
        """See the class."""
        return torch.from_numpy(attributes_right(embeddings, self._read(prompts))["all"])

    def parts(self, embeddings: Tensor, prompts: Sequence[str]) -> dict[str, np.ndarray]:
        """Each attribute of which the caption says something."""
        right = attributes_right(embeddings, self._read(prompts))
        return {f"attributes.{each}": right[each] for each in ATTRIBUTES}
