"""What the scorers share: one preprocessing, one precision, normalised embeddings of a CLIP."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from PIL import Image
from safetensors import SafetensorError
from torch import Tensor
from torch.nn import functional
from transformers import AutoTokenizer, CLIPImageProcessorPil, CLIPModel
from transformers.utils import logging as transformers_logging

from ddecli.core.devices import exact_float32
from ddecli.core.errors import UserError
from ddecli.scoring.open_clip import load_open_clip
from ddecli.scoring.presets import ScorerSource
from ddecli.scoring.weights import Weights, find_weights

MAX_ASPECT = 4
"""A picture longer than this times its shorter side is cropped before resizing: only its centre is seen."""
TEXT_BATCH = 256


class Scorer(ABC):
    """A score of a picture that is computed from its embedding by a CLIP, in float32.

    Preprocessing is always the Pillow one of `CLIPImageProcessor`, with the numbers that the model was
    published with, so that scores do not depend on what else is installed.
    """

    name: ClassVar[str]
    scale: ClassVar[str]
    model: CLIPModel

    def __init__(self, source: ScorerSource, device: str | torch.device) -> None:
        """Load the model.

        Raises:
            UserError: weights are absent, or the folder lacks a CLIPModel, tokenizer or image processor.
        """
        weights = find_weights(self.name, source)
        transformers_logging.disable_progress_bar()
        try:
            self.load(weights)
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            raise UserError(
                f"{weights.model} is no CLIPModel folder with a tokenizer and an image processor: {error}"
            ) from error
        self.model = self.model.to(device).eval()
        self.device = device
        self.card = self.make_card(weights)

    def load(self, weights: Weights) -> None:
        """Load the CLIP and what goes with it; weights saved in half precision become float32."""
        if weights.model.is_file():
            self.model = load_open_clip(weights.model, weights.companion)
        else:
            self.model, found = CLIPModel.from_pretrained(
                weights.model, dtype=torch.float32, output_loading_info=True
            )
            if found["missing_keys"]:  # transformers would go on with random ones
                raise ValueError(f"{len(found['missing_keys'])} weights are missing")
        self.image_processor = CLIPImageProcessorPil.from_pretrained(weights.companion)

    def make_card(self, weights: Weights) -> dict[str, Any]:
        """What a reader must know to compare a score: model, version, scale, preprocessing."""
        processor = self.image_processor
        return {
            "name": self.name,
            "model": weights.label,
            **weights.identity,
            "scale": self.scale,
            "preprocessing": {
                "resize": dict(processor.size),
                "crop": dict(processor.crop_size),
                "resample": Image.Resampling(processor.resample).name.lower(),
                "mean": list(processor.image_mean),
                "std": list(processor.image_std),
            },
        }

    def preprocess(self, image: Image.Image) -> Tensor:
        """An RGB picture to pixels, (3, height, width) float32."""
        shorter, longer = sorted(image.size)
        if longer > MAX_ASPECT * shorter:
            width, height = (min(side, MAX_ASPECT * shorter) for side in image.size)
            left, top = (image.width - width) // 2, (image.height - height) // 2
            image = image.crop((left, top, left + width, top + height))
        return self.image_processor(image, return_tensors="pt").pixel_values[0]

    @torch.inference_mode()
    def encode_pixels(self, pixels: Tensor) -> Tensor:
        """Preprocessed pixels (N, 3, height, width) to normalised embeddings (N, E) float32 on the CPU."""
        with exact_float32():
            features = self.model.get_image_features(pixel_values=pixels.to(self.device)).pooler_output
        return functional.normalize(features, dim=-1).cpu()

    @abstractmethod
    def score_embeddings(self, image_embeddings: Tensor, prompts: Sequence[str]) -> Tensor:
        """Score of each picture for its own prompt: (N, E) normalised embeddings to (N,) float32."""

    def score(self, images: Sequence[Image.Image], prompts: Sequence[str]) -> Tensor:
        """Score RGB pictures with one prompt each, all in one batch: (N,) float32."""
        pixels = torch.stack([self.preprocess(image) for image in images])
        return self.score_embeddings(self.encode_pixels(pixels), prompts)


class ClipScorer(Scorer):
    """Cosine of a picture and a prompt in a CLIP's space (`scaled`: times exp(logit_scale)).

    A prompt is cut to the model's length with its end token kept.
    """

    scale = "cosine"
    scaled: ClassVar[bool] = False

    def load(self, weights: Weights) -> None:
        super().load(weights)
        self.tokenizer = AutoTokenizer.from_pretrained(weights.companion)
        self.max_tokens = self.model.config.text_config.max_position_embeddings

    def make_card(self, weights: Weights) -> dict[str, Any]:
        card = super().make_card(weights)
        card["preprocessing"]["max_tokens"] = self.max_tokens
        return card

    @torch.inference_mode()
    def encode_prompts(self, prompts: Sequence[str]) -> Tensor:
        """Prompts to normalised embeddings, (N, E) float32 on the CPU."""
        embeddings = []
        for start in range(0, len(prompts), TEXT_BATCH):
            tokens = self.tokenizer(
                list(prompts[start : start + TEXT_BATCH]),
                padding=True,
                truncation=True,
                max_length=self.max_tokens,
                return_tensors="pt",
            ).to(self.device)
            features = self.model.get_text_features(
                input_ids=tokens.input_ids, attention_mask=tokens.attention_mask
            ).pooler_output
            embeddings.append(functional.normalize(features, dim=-1).cpu())
        return torch.cat(embeddings)

    def score_embeddings(self, image_embeddings: Tensor, prompts: Sequence[str]) -> Tensor:
        """Cosine of each picture with its own prompt; every distinct prompt is encoded once."""
        distinct = {prompt: number for number, prompt in enumerate(dict.fromkeys(prompts))}
        embeddings = self.encode_prompts(list(distinct))[[distinct[prompt] for prompt in prompts]]
        cosine = (image_embeddings * embeddings).sum(-1)
        return cosine * self.model.logit_scale.detach().exp().cpu() if self.scaled else cosine
