"""What the CLIP-like scorers share: one preprocessing, one precision, normalised embeddings."""

from __future__ import annotations

from abc import ABC
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional
from transformers import AutoTokenizer, CLIPImageProcessorPil, CLIPModel
from transformers.utils import logging as transformers_logging

from ddecli.core.errors import UserError
from ddecli.scoring.presets import CLIP_H, ScorerSource
from ddecli.scoring.weights import find_folder, identity

MAX_ASPECT = 4
"""A picture longer than this times its shorter side is cropped before resizing: only its centre is seen."""
TEXT_BATCH = 256


class ClipScorer(ABC):
    """Cosine of a picture and a prompt in a CLIP's space, in float32 (`scaled`: times exp(logit_scale)).

    Preprocessing is always the Pillow one of `CLIPImageProcessor`, so that scores do not depend on what else
    is installed. A prompt is cut to the model's length with its end token kept.
    """

    name: ClassVar[str]
    scaled: ClassVar[bool] = False

    def __init__(self, source: ScorerSource, device: str | torch.device) -> None:
        """Load the model.

        Raises:
            UserError: weights are absent, or the folder lacks a CLIPModel, tokenizer or image processor.
        """
        folder = find_folder(self.name, source)
        words = folder
        if not (folder / "tokenizer_config.json").exists() and isinstance(source.location, str):
            words = find_folder("clip", ScorerSource(CLIP_H, CLIP_H))
        transformers_logging.disable_progress_bar()
        try:
            self.model = CLIPModel.from_pretrained(folder, dtype=torch.float32).to(device).eval()
            self.tokenizer = AutoTokenizer.from_pretrained(words)
            self.image_processor = CLIPImageProcessorPil.from_pretrained(words)
        except (OSError, ValueError, KeyError) as error:
            raise UserError(
                f"{folder} is no CLIPModel folder with a tokenizer and an image processor: {error}"
            ) from error
        self.device = device
        self.max_tokens = self.model.config.text_config.max_position_embeddings
        self.card = self.make_card(source)

    def make_card(self, source: ScorerSource) -> dict[str, Any]:
        """What a reader must know to compare a score: model, version, scale, preprocessing."""
        processor = self.image_processor
        return {
            "name": self.name,
            "model": source.label,
            **identity(source, find_folder(self.name, source)),
            "scale": "exp(logit_scale) x cosine" if self.scaled else "cosine",
            "preprocessing": {
                "resize": dict(processor.size),
                "crop": dict(processor.crop_size),
                "resample": Image.Resampling(processor.resample).name.lower(),
                "mean": list(processor.image_mean),
                "std": list(processor.image_std),
                "max_tokens": self.max_tokens,
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
        features = self.model.get_image_features(pixel_values=pixels.to(self.device)).pooler_output
        return functional.normalize(features, dim=-1).cpu()

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

    def similarity(self, image_embeddings: Tensor, prompt_embeddings: Tensor) -> Tensor:
        """Score of each picture with its own prompt: (N, E) and (N, E) to (N,) float32."""
        cosine = (image_embeddings * prompt_embeddings).sum(-1)
        return cosine * self.model.logit_scale.detach().exp().cpu() if self.scaled else cosine

    def score(self, images: Sequence[Image.Image], prompts: Sequence[str]) -> Tensor:
        """Score RGB pictures with one prompt each, all in one batch: (N,) float32."""
        pixels = torch.stack([self.preprocess(image) for image in images])
        return self.similarity(self.encode_pixels(pixels), self.encode_prompts(prompts))
