"""HPS v2 (Wu et al. 2023): a CLIP-H fine-tuned on people's choices; the cosine, as `hpsv2.score` has it.

The authors' package prepares its input otherwise than CLIP: a picture is seen whole (its longest side is resized, the
rest is black), and prompts are cleaned as in OpenAI's first tokenizer.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import ftfy
import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from ddecli.scoring.clip_model import ClipScorer
from ddecli.scoring.weights import Weights


class HumanPreferenceScore(ClipScorer):
    """Cosine of picture and prompt in the space of HPS v2."""

    name = "hps"

    def make_card(self, weights: Weights) -> dict[str, Any]:
        card = super().make_card(weights)
        preprocessing = card["preprocessing"]
        del preprocessing["crop"]
        preprocessing |= {
            "resize": {"longest_edge": self.size},
            "pad": "black",
            "resample": "bicubic, antialiased, of floats",
            "text": "ftfy.fix_text, html.unescape twice",
        }
        return card

    @property
    def size(self) -> int:
        """Width and height of the model's pictures, pixels."""
        return self.model.config.vision_config.image_size

    def preprocess(self, image: Image.Image) -> Tensor:
        """An RGB picture to pixels, (3, size, size) float32: the whole of it, centred on black."""
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255
        scale = self.size / max(image.size)
        height, width = (max(1, round(side * scale)) for side in (image.height, image.width))
        if (height, width) != tuple(pixels.shape[1:]):
            pixels = functional.interpolate(
                pixels[None], (height, width), mode="bicubic", align_corners=False, antialias=True
            )[0]
        left, top = (self.size - width) // 2, (self.size - height) // 2
        pixels = functional.pad(pixels, (left, self.size - width - left, top, self.size - height - top))
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in self._normalisation())
        return (pixels - mean) / std

    def encode_prompts(self, prompts: Sequence[str]) -> Tensor:
        """Prompts to normalised embeddings, (N, E) float32 on the CPU."""
        return super().encode_prompts([clean(prompt) for prompt in prompts])

    def _normalisation(self) -> tuple[list[float], list[float]]:
        return list(self.image_processor.image_mean), list(self.image_processor.image_std)


class HumanPreferenceScore21(HumanPreferenceScore):
    """The same in the space of HPS v2.1; its scores are on another scale than those of v2."""

    name = "hps-v2.1"


def clean(prompt: str) -> str:
    """A prompt as OpenAI's tokenizer cleans it: mended encodings, plain quotes, no HTML entities."""
    return html.unescape(html.unescape(ftfy.fix_text(prompt))).strip()
