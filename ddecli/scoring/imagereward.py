"""ImageReward v1.0 (Xu et al. 2023, arXiv 2304.05977): what people would prefer, read off picture and prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import BertTokenizer, CLIPImageProcessorPil

from ddecli.core.devices import exact_float32
from ddecli.scoring.blip import load_image_reward
from ddecli.scoring.published import METRICS
from ddecli.scoring.scorer import Scorer
from ddecli.scoring.weights import Weights

MAX_TOKENS = 35
ADDED_TOKENS = ("[DEC]", "[ENC]")
"""Tokens that BLIP adds to BERT's, in order. A prompt begins with [CLS] all the same."""
MEAN, STD = 0.16717362830052426, 1.0333394966054072
"""The authors' numbers, by which the head's output is standardised."""


class ImageReward(Scorer):
    """The reward, standardised; negative values are normal.

    The text encoder reads the prompt beside the picture, so the embedding is one of both. The authors'
    example (a painting of an ocean, four pictures in their repository) has 0.58, 0.27, -1.41 and -2.03.
    """

    name = "imagereward"
    scale = f"(reward - {MEAN:.4f}) / {STD:.4f}, about -2 to 2"
    needs = "checkpoint of ImageReward with med_config.json and the tokenizer of bert-base-uncased"

    def load(self, weights: Weights) -> None:
        config = weights.model.parent / str(METRICS[self.name].checkpoint_config)
        self.model, self.head = load_image_reward(weights.model, config)
        self.tokenizer = BertTokenizer.from_pretrained(weights.companion)
        self.tokenizer.add_tokens(list(ADDED_TOKENS), special_tokens=True)
        words = self.model.text.config.vocab_size
        if len(self.tokenizer) != words:
            raise ValueError(
                f"the tokenizer of {weights.companion} has {len(self.tokenizer)} tokens and the model {words}"
            )
        pixels = self.model.vision.config.image_size
        # Bicubic, CLIP's mean and std. A picture that is not square may be cropped one pixel beside torchvision's crop.
        self.image_processor = CLIPImageProcessorPil(
            size={"shortest_edge": pixels}, crop_size={"height": pixels, "width": pixels}
        )

    def make_card(self, weights: Weights) -> dict[str, Any]:
        card = super().make_card(weights)
        card["preprocessing"]["max_tokens"] = MAX_TOKENS
        return card

    @torch.inference_mode()
    def embed(self, pixels: Sequence[Tensor], prompts: Sequence[str]) -> Tensor:
        """The text encoder's state at the first token after it has read picture and prompt, (N, E)."""
        tokens = self.tokenizer(
            list(prompts), padding="max_length", truncation=True, max_length=MAX_TOKENS, return_tensors="pt"
        ).to(self.device)
        with exact_float32():
            return self.model(
                torch.stack(list(pixels)).to(self.device), tokens.input_ids, tokens.attention_mask
            ).cpu()

    @torch.inference_mode()
    def score_embeddings(self, embeddings: Tensor, prompts: Sequence[str]) -> Tensor:
        """The standardised reward; the prompts are in the embeddings already."""
        return (self.head(embeddings).squeeze(-1) - MEAN) / STD
