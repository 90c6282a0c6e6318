"""Scorers on a CLIP: normalised embeddings of pictures and prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional
from transformers import AutoTokenizer, CLIPImageProcessorPil, CLIPModel

from ddecli.core.devices import exact_float32
from ddecli.scoring.open_clip import load_open_clip
from ddecli.scoring.scorer import Scorer
from ddecli.scoring.weights import Weights

TEXT_BATCH = 256


class ClipEmbeddingScorer(Scorer):
    """A score that is computed from the picture's normalised embedding by a CLIP."""

    needs = "CLIPModel folder with a tokenizer and an image processor"
    model: CLIPModel

    def load(self, weights: Weights) -> None:
        if weights.model.is_file():
            self.model = load_open_clip(weights.model, weights.companion)
        else:
            self.model, found = CLIPModel.from_pretrained(
                weights.model, dtype=torch.float32, output_loading_info=True
            )
            if found["missing_keys"]:  # transformers would go on with random ones
                raise ValueError(f"{len(found['missing_keys'])} weights are missing")
        self.image_processor = CLIPImageProcessorPil.from_pretrained(weights.companion)

    @torch.inference_mode()
    def encode_pixels(self, pixels: Tensor) -> Tensor:
        """Preprocessed pixels (N, 3, height, width) to normalised embeddings (N, E) float32 on the CPU."""
        with exact_float32():
            features = self.model.get_image_features(pixel_values=pixels.to(self.device)).pooler_output
        return functional.normalize(features, dim=-1).cpu()

    def embed(self, pixels: Sequence[Tensor], prompts: Sequence[str]) -> Tensor:
        """Normalised embeddings of the pictures, (N, E); `prompts` are not looked at."""
        return self.encode_pixels(torch.stack(list(pixels)))


class ClipScorer(ClipEmbeddingScorer):
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

    def score_embeddings(self, embeddings: Tensor, prompts: Sequence[str]) -> Tensor:
        """Cosine of each picture with its own prompt; every distinct prompt is encoded once."""
        distinct = {prompt: number for number, prompt in enumerate(dict.fromkeys(prompts))}
        text = self.encode_prompts(list(distinct))[[distinct[prompt] for prompt in prompts]]
        cosine = (embeddings * text).sum(-1)
        return cosine * self.model.logit_scale.detach().exp().cpu() if self.scaled else cosine
