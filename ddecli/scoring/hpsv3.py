"""HPSv3 (Ma et al. 2025, arXiv 2508.03789): what people would prefer, read off picture and prompt by a Qwen2-VL-7B.

The published code (MizzenAI/HPSv3, MIT) hands the language model embeddings without positions. transformers 4.45,
which it is pinned to, then numbers all tokens one after the other, those of the picture too; so do later versions.
The checkpoint was trained so, and is read so here. Ports that let `Qwen2VLModel` compute its positions for pictures
(M-RoPE: row and column) get other scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import Qwen2VLConfig, Qwen2VLModel

from ddecli.core.devices import exact_float32
from ddecli.core.errors import read_by_others
from ddecli.core.files import read_yaml
from ddecli.scoring.filled import filled
from ddecli.scoring.qwen_vl import QwenScorer
from ddecli.scoring.weights import Weights

REWARD_TOKEN = "<|Reward|>"
PLACEHOLDER = "{text_prompt}"
PIXELS = 256 * 28 * 28
HEAD = "rm_head."
UNUSED = "lm_head."
"""The language model's own head, which the checkpoint holds too."""
EMBEDDINGS = "language_model.embed_tokens.weight"
LAYOUT = {
    "model.visual.": "visual.",
    "model.language_model.": "language_model.",
    "visual.": "visual.",
    "model.": "language_model.",
}
"""How names of tensors begin in the checkpoint and in `Qwen2VLModel`: as of transformers 4.52, and as published."""


class HumanPreferenceScore3(QwenScorer):
    """The expected preference mu, as the authors' `reward` gives it first; the larger the better.

    The embedding is the state of the language model at the token that the head was trained to read, after it has seen
    the picture and read instruction and prompt.
    """

    name = "hpsv3"
    scale = "mu, the mean of a normal distribution of preference"
    needs = "checkpoint of HPSv3 with configuration, tokenizer and image processor of Qwen2-VL-7B-Instruct"
    model: Qwen2VLModel

    def load(self, weights: Weights) -> None:
        self.load_chat(weights.companion, PIXELS)
        self.tokenizer.add_tokens([REWARD_TOKEN], special_tokens=True)
        self.reward_token = self.tokenizer.convert_tokens_to_ids(REWARD_TOKEN)
        source = resources.files("ddecli.scoring").joinpath("hpsv3.yaml")
        self.instruction = read_yaml(Path(str(source)))["text"]
        self.model, self.head = load_hpsv3(weights.model, weights.companion, self.dtype)
        words = self.model.config.text_config.vocab_size
        if len(self.tokenizer) != words:
            raise ValueError(
                f"the tokenizer of {weights.companion} has {len(self.tokenizer)} tokens with {REWARD_TOKEN} and the "
                f"model {words}"
            )

    @torch.inference_mode()
    def embed(self, pixels: Sequence[Tensor], prompts: Sequence[str]) -> Tensor:
        """The language model's state at the reward token, (N, E)."""
        self.check_prompts(prompts)
        inputs = self.chat(pixels, [self.instruction.replace(PLACEHOLDER, prompt) for prompt in prompts])
        tokens = inputs["input_ids"]
        positions = torch.arange(tokens.shape[1], device=tokens.device).expand(3, *tokens.shape)
        with exact_float32():
            states = self.model(**inputs, position_ids=positions, use_cache=False).last_hidden_state
        return states[tokens == self.reward_token].float().cpu()

    @torch.inference_mode()
    def score_embeddings(self, embeddings: Tensor, prompts: Sequence[str]) -> Tensor:
        """mu, the head's first output (the second is the logarithm of sigma); `embeddings` have read the prompts."""
        return self.head(embeddings)[:, 0]


def load_hpsv3(file: Path, backbone: Path, dtype: torch.dtype) -> tuple[Qwen2VLModel, nn.Sequential]:
    """Load HPSv3's checkpoint: the model without its language head, and the float32 head that makes a score of a state.

    Args:
        file: safetensors, whose tensors are named as published or as newer versions of transformers name them.
        backbone: folder with Qwen2-VL's config.json.
        dtype: of the model.

    Raises:
        UserError: a file is damaged, or holds another model.
    """
    with read_by_others(f"{file} is no checkpoint of HPSv3, or is damaged", "fetch it again"):
        body, rest = split(load_file(file))
        head = reward_head(body[EMBEDDINGS].shape[1])
        head.load_state_dict(rest)
    with read_by_others(
        f"{file} does not fit the Qwen2-VL of {backbone / 'config.json'}", "give the two that belong together"
    ):
        config = Qwen2VLConfig.from_pretrained(backbone)
        config.text_config.vocab_size = len(body[EMBEDDINGS])  # one token more than the tokenizer's own
        model = filled(Qwen2VLModel, config, body, dtype)
    return model, head.eval()


def reward_head(width: int) -> nn.Sequential:
    """The published head ("ranknet"): states (N, width) to mu and the logarithm of sigma, (N, 2)."""
    return nn.Sequential(
        nn.Linear(width, 1024), nn.ReLU(), nn.Dropout(0.05), nn.Linear(1024, 16), nn.ReLU(), nn.Linear(16, 2)
    )


def split(state: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The tensors of the model by the names of `Qwen2VLModel`, and those of the reward head in float32.

    Raises:
        KeyError: a tensor that is none of HPSv3's.
    """
    body, head = {}, {}
    for name, tensor in state.items():
        if name.startswith(UNUSED):
            continue
        if name.startswith(HEAD):
            head[name.removeprefix(HEAD)] = tensor.float()
            continue
        start = next((start for start in LAYOUT if name.startswith(start)), None)
        if start is None:
            raise KeyError(name)
        body[LAYOUT[start] + name.removeprefix(start)] = tensor
    return body, head
