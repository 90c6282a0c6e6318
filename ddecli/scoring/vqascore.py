"""A Qwen3-VL that answers questions about pictures, and VQAScore by it.

As evaluation.py of GenEval 2 asks it (facebookresearch/GenEval2, Kamath et al. 2025): what counts is how probable an
answer is as the next token, of which no answer has to be generated. The VQAScore of Lin et al. 2024 (arXiv 2404.01291)
asks a CLIP-FlanT5 in other words: its numbers are others.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import Qwen3VLForConditionalGeneration

from ddecli.core.devices import exact_float32
from ddecli.core.files import read_json
from ddecli.scoring.qwen_vl import IMAGE_TOKEN, QwenScorer
from ddecli.scoring.weights import CONFIG, Weights

MODEL_TYPE = "qwen3_vl"
YES = ("Yes", "yes", " Yes", " yes")


class QwenJudge(QwenScorer):
    """A score that is computed from the probabilities of answers."""

    needs = "Qwen3-VL folder with its tokenizer and image processor"
    model: Qwen3VLForConditionalGeneration

    def load(self, weights: Weights) -> None:
        found = read_json(weights.model / CONFIG, dict).get("model_type")
        if found != MODEL_TYPE:  # before a model of another kind is made
            raise ValueError(f"{CONFIG} is of {found}")
        self.load_chat(weights.companion)
        self.model, loaded = Qwen3VLForConditionalGeneration.from_pretrained(
            weights.model, dtype=self.dtype, output_loading_info=True
        )
        if loaded["missing_keys"]:  # transformers would go on with random ones
            raise ValueError(f"{len(loaded['missing_keys'])} weights are missing")

    @torch.inference_mode()
    def probabilities(
        self, pixels: Sequence[Tensor], questions: Sequence[str], answers: Sequence[Sequence[str]]
    ) -> Tensor:
        """How probable each answer is, the probabilities of all ways to write it added up.

        Of each way its first token counts, and a token counts once.

        Args:
            pixels: N pictures as `preprocess` leaves them.
            questions: one about each.
            answers: the ways to write the answer to each.

        Returns:
            (N,) float32 on the CPU, 0 to 1.
        """
        inputs = self.chat(pixels, questions)
        shown = inputs["input_ids"] == self.tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
        last = inputs["attention_mask"].sum(1) - 1
        with exact_float32():
            states = self.model.model(
                **inputs, mm_token_type_ids=shown.int(), use_cache=False
            ).last_hidden_state
            logits = self.model.lm_head(states[torch.arange(len(last), device=last.device), last])
        next_token = logits.float().softmax(-1).cpu()
        first = [sorted({self.tokenizer.encode(way)[0] for way in ways}) for ways in answers]
        return torch.stack([row[tokens].sum() for row, tokens in zip(next_token, first, strict=True)])


class VqaScore(QwenJudge):
    """How probable yes is when the model is asked whether the picture shows the prompt."""

    name = "vqascore"
    scale = "probability of yes, 0 to 1"

    def embed(self, pixels: Sequence[Tensor], prompts: Sequence[str]) -> Tensor:
        """That probability, (N, 1)."""
        self.check_prompts(prompts)
        questions = [
            f'Does this image show "{prompt}"? Answer the question with Yes or No.' for prompt in prompts
        ]
        return self.probabilities(pixels, questions, [YES] * len(prompts))[:, None]

    def score_embeddings(self, embeddings: Tensor, prompts: Sequence[str]) -> Tensor:
        """The probability; the prompts are in the embeddings already."""
        return embeddings[:, 0]
