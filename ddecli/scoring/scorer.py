"""What all scorers share: preprocessing by Pillow, a trial when they are loaded, a card."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from transformers import CLIPImageProcessorPil

from ddecli.core.errors import UserError, read_by_others
from ddecli.core.prompts import PromptRow
from ddecli.models.quiet import hide_progress_bars
from ddecli.models.without_values import WithoutValues
from ddecli.scoring.pixels import Preprocessing
from ddecli.scoring.published import ScorerSource
from ddecli.scoring.weights import Weights, find_weights

MAX_ASPECT = 4
"""A picture longer than this times its shorter side is cropped before resizing: only its centre is seen."""


class Scorer(ABC):
    """A score of a picture for a prompt that is computed from an embedding, in float32 unless its card says otherwise.

    Preprocessing is always the Pillow one of transformers' image processors, with the numbers that the model was
    published with, so that scores do not depend on what else is installed.

    needs: what must be found, for the error when it cannot be loaded.
    example: a prompt that it can be tried with.
    part_scales: the scale of each other score that the same embeddings give (`parts`).
    asks: whether it must `learn` what is known of the prompts before it can score.
    """

    name: ClassVar[str]
    scale: ClassVar[str]
    needs: ClassVar[str]
    example: ClassVar[str] = "a picture"
    part_scales: ClassVar[dict[str, str]] = {}
    asks: ClassVar[bool] = False
    model: nn.Module
    image_processor: CLIPImageProcessorPil

    def __init__(self, source: ScorerSource, device: str | torch.device) -> None:
        """Load the model.

        Raises:
            UserError: weights are absent, or something that goes with them, or they do not fit into the memory.
        """
        weights = find_weights(self.name, source)
        hide_progress_bars()
        self.device = device
        with read_by_others(f"{weights.model} is no {self.needs}, or is damaged", "fetch it again"):
            try:
                with WithoutValues():
                    self.load(weights)
                self.model = self.model.to(device).eval()
            except torch.OutOfMemoryError as error:
                raise UserError(
                    f"{weights.model} does not fit into the memory of {device}: leave {self.name} out, or give "
                    "--device cpu."
                ) from error
            self.card = self.make_card(weights)
            self._try()

    @abstractmethod
    def load(self, weights: Weights) -> None:
        """Load `model`, `image_processor` and what goes with them; half precision becomes float32."""

    def make_card(self, weights: Weights) -> dict[str, Any]:
        """What a reader must know to compare a score: model, version, scale, preprocessing."""
        return {
            "name": self.name,
            "model": weights.label,
            **weights.identity,
            "scale": self.scale,
            "preprocessing": self.describe_preprocessing(),
        }

    def describe_preprocessing(self) -> dict[str, Any]:
        """What becomes of a picture, for the card."""
        processor = self.image_processor
        return {
            "resize": dict(processor.size),
            "crop": dict(processor.crop_size),
            "resample": Image.Resampling(processor.resample).name.lower(),
            "mean": list(processor.image_mean),
            "std": list(processor.image_std),
        }

    def preprocess(self, image: Image.Image) -> Tensor:
        """An RGB picture to what `embed` takes of it: pixels, (3, height, width) float32."""
        return self._pixels(centre(image, MAX_ASPECT))

    @cached_property
    def _pixels(self) -> Preprocessing:
        return Preprocessing(self.image_processor)

    def _try(self) -> None:
        """Score one picture: parts that do not fit together show when they are used.

        Raises:
            ValueError: the score is no number.
        """
        score = self.score([Image.new("RGB", (64, 64), "grey")], [self.example])
        if score.shape != (1,) or not torch.isfinite(score).all():
            raise ValueError("the score of a grey picture is no number")

    def learn(self, rows: Sequence[PromptRow]) -> None:  # noqa: B027  # most need the prompt alone
        """Take up what a list says of the prompts beside their words; what changes scores goes into `card`.

        Raises:
            UserError: it cannot be used.
        """

    def check_prompts(self, prompts: Sequence[str]) -> None:  # noqa: B027  # most can judge any
        """Refuse prompts that it cannot judge by.

        Raises:
            UserError: the first of them.
        """

    @abstractmethod
    def embed(self, pixels: Sequence[Tensor], prompts: Sequence[str]) -> Tensor:
        """What the scores are computed from.

        Args:
            pixels: N pictures as `preprocess` leaves them.
            prompts: one a picture; a scorer whose picture embedding is blind to the prompt ignores them.

        Returns:
            (N, E) float32 on the CPU.
        """

    @abstractmethod
    def score_embeddings(self, embeddings: Tensor, prompts: Sequence[str]) -> Tensor:
        """Score of each picture for its own prompt: what `embed` gave, (N, E), to (N,) float32."""

    def parts(self, embeddings: Tensor, prompts: Sequence[str]) -> dict[str, np.ndarray]:
        """Other scores of the same pictures, those of `part_scales`: (N,) each, NaN where a picture has none."""
        return {}

    def score(self, images: Sequence[Image.Image], prompts: Sequence[str]) -> Tensor:
        """Score RGB pictures with one prompt each, all in one batch: (N,) float32."""
        return self.score_pixels([self.preprocess(image) for image in images], prompts)

    def score_pixels(self, pixels: Sequence[Tensor], prompts: Sequence[str]) -> Tensor:
        """Score pictures as `preprocess` leaves them, as `score` does."""
        return self.score_embeddings(self.embed_at_once(pixels, prompts), prompts)

    def embed_at_once(self, pixels: Sequence[Tensor], prompts: Sequence[str]) -> Tensor:
        """See `embed`.

        Raises:
            UserError: the device's memory does not hold so many.
        """
        try:
            return self.embed(pixels, prompts)
        except torch.OutOfMemoryError as error:
            some = f"{len(pixels)} images at once" if len(pixels) > 1 else "one image"
            way_out = "lower --batch-size" if len(pixels) > 1 else "give --device cpu"
            raise UserError(
                f"{self.name} needs more memory than the device has for {some}: {way_out}, or "
                f"leave {self.name} out."
            ) from error


def centre(image: Image.Image, max_aspect: int) -> Image.Image:
    """The centre of a picture that is longer than `max_aspect` times its shorter side; another as it is."""
    shorter, longer = sorted(image.size)
    if longer <= max_aspect * shorter:
        return image
    width, height = (min(side, max_aspect * shorter) for side in image.size)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))
