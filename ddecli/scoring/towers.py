"""CLIP (Radford et al. 2021): two transformers, of pictures and of prompts, that end in one space.

The function of transformers' `CLIPModel`, with its configuration, its names of tensors and, to the last bit, its
numbers (`tests/scoring/test_towers.py`). That class's module imports whatever loads, shards, quantizes and compiles any
model there is, which takes as long as importing torch itself: scoring one picture would be little else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional
from transformers.models.clip.configuration_clip import CLIPConfig

from ddecli.core.files import read_json

WEIGHTS = "model.safetensors"


def quick_gelu(x: Tensor) -> Tensor:
    """The activation of OpenAI's models, nearly GELU."""
    return x * torch.sigmoid(1.702 * x)


def activation(name: str) -> Callable[[Tensor], Tensor]:
    """A function by transformers' name of it."""
    if name in {"quick_gelu", "gelu"}:  # those of all published models
        return quick_gelu if name == "quick_gelu" else functional.gelu
    from transformers.activations import ACT2FN

    found: Callable[[Tensor], Tensor] = ACT2FN[name]
    return found


class Attention(nn.Module):
    """Attention with several heads."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        width = config.hidden_size
        self.heads = config.num_attention_heads
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.q_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
        """x: (N, L, E); mask: (N, 1, L, L), True where something is looked at, or None."""
        count, length, width = x.shape
        shape = (count, length, self.heads, width // self.heads)
        queries, keys, values = (
            part(x).view(shape).transpose(1, 2) for part in (self.q_proj, self.k_proj, self.v_proj)
        )
        scale = (width // self.heads) ** -0.5
        found = functional.scaled_dot_product_attention(
            queries, keys, values, attn_mask=mask, is_causal=causal and mask is None, scale=scale
        )
        return self.out_proj(found.transpose(1, 2).reshape(count, length, width))


class Layer(nn.Module):
    """Attention and two linear layers, each normalised before it and added to what it was given."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        width, inner = config.hidden_size, config.intermediate_size
        self.self_attn = Attention(config)
        self.layer_norm1 = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, inner), "fc2": nn.Linear(inner, width)})
        self.layer_norm2 = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.activation = activation(config.hidden_act)

    def forward(self, x: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
        """See `Attention.forward`."""
        x = x + self.self_attn(self.layer_norm1(x), mask, causal)
        return x + self.mlp["fc2"](self.activation(self.mlp["fc1"](self.layer_norm2(x))))


class Encoder(nn.Module):
    """The layers of a tower."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))

    def forward(self, x: Tensor, mask: Tensor | None = None, causal: bool = False) -> Tensor:
        """See `Attention.forward`."""
        for layer in self.layers:
            x = layer(x, mask, causal)
        return x


def _table(rows: int, width: int) -> nn.Embedding:
    """An embedding whose weights are read; drawing some first would, of all things, import torch's compiler."""
    return nn.Embedding.from_pretrained(torch.empty(rows, width))


class PictureTower(nn.Module):
    """A transformer over the patches of a picture, and a class token before them."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        width, patch = config.hidden_size, config.patch_size
        self.size = config.image_size
        self.embeddings = nn.Module()
        self.embeddings.class_embedding = nn.Parameter(torch.empty(width))
        self.embeddings.patch_embedding = nn.Conv2d(config.num_channels, width, patch, patch, bias=False)
        self.embeddings.position_embedding = _table((self.size // patch) ** 2 + 1, width)
        self.pre_layrnorm = nn.LayerNorm(width, eps=config.layer_norm_eps)  # so it is called in the files
        self.encoder = Encoder(config)
        self.post_layernorm = nn.LayerNorm(width, eps=config.layer_norm_eps)

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels (N, 3, height, width) to the class token's state, (N, E)."""
        if tuple(pixels.shape[-2:]) != (self.size, self.size):
            height, width = pixels.shape[-2:]
            raise ValueError(
                f"pictures of {width} x {height} pixels, and the model sees {self.size} x {self.size}"
            )
        parts: Any = self.embeddings
        patches = parts.patch_embedding(pixels).flatten(2).transpose(1, 2)
        first = parts.class_embedding.expand(len(pixels), 1, -1)
        x = torch.cat([first, patches], dim=1) + parts.position_embedding.weight
        return self.post_layernorm(self.encoder(self.pre_layrnorm(x))[:, 0, :])


class PromptTower(nn.Module):
    """A transformer over the tokens of a prompt, each of which sees those before it."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        width = config.hidden_size
        self.end = config.eos_token_id
        self.embeddings = nn.Module()
        self.embeddings.token_embedding = _table(config.vocab_size, width)
        self.embeddings.position_embedding = _table(config.max_position_embeddings, width)
        self.encoder = Encoder(config)
        self.final_layer_norm = nn.LayerNorm(width, eps=config.layer_norm_eps)

    def forward(self, tokens: Tensor, there: Tensor) -> Tensor:
        """Tokens (N, L), and which of them are no padding, to the end token's state, (N, E)."""
        length = tokens.shape[1]
        parts: Any = self.embeddings
        x = parts.token_embedding(tokens) + parts.position_embedding.weight[:length]
        mask = None
        if not there.all():  # a mask, even of nothing but the order, has another kernel and rounds otherwise
            order = torch.ones(length, length, dtype=torch.bool, device=tokens.device).tril()
            mask = order[None, None] & there.bool()[:, None, None, :]
        x = self.final_layer_norm(self.encoder(x, mask, causal=length > 1))
        # Configurations of OpenAI's models once named 2, which is wrong: the end has the largest number there.
        ends = tokens.int() if self.end == 2 else (tokens.int() == self.end).int()
        return x[torch.arange(len(x), device=x.device), ends.argmax(dim=-1)]


class Clip(nn.Module):
    """Both towers, and the projections into one space."""

    def __init__(self, config: CLIPConfig) -> None:
        super().__init__()
        self.config = config
        self.text_model = PromptTower(config.text_config)
        self.vision_model = PictureTower(config.vision_config)
        self.visual_projection = nn.Linear(
            config.vision_config.hidden_size, config.projection_dim, bias=False
        )
        self.text_projection = nn.Linear(config.text_config.hidden_size, config.projection_dim, bias=False)
        self.logit_scale = nn.Parameter(torch.empty(()))

    def picture_features(self, pixels: Tensor) -> Tensor:
        """Pixels (N, 3, height, width) to embeddings (N, E), not normalised."""
        return self.visual_projection(self.vision_model(pixels))

    def prompt_features(self, tokens: Tensor, there: Tensor) -> Tensor:
        """Tokens (N, L) and their attention mask to embeddings (N, E), not normalised."""
        return self.text_projection(self.text_model(tokens, there))


def clip_of(config: CLIPConfig, state: Mapping[str, Tensor]) -> tuple[Clip, list[str], list[str]]:
    """A CLIP with these weights, by transformers' names; which are missing, and which are no part of it.

    Raises:
        RuntimeError: a tensor of another shape.
    """
    with torch.device("meta"):
        model = Clip(config)
    found = model.load_state_dict(state, strict=False, assign=True)
    return model.eval().requires_grad_(False), found.missing_keys, found.unexpected_keys


def load_clip(folder: Path) -> Clip:
    """The `CLIPModel` in a folder, in float32.

    Raises:
        RuntimeError: weights of another model.
        ValueError: some are missing.
        Exception: whatever reading damaged files raises.
    """
    state = {name: value.float() for file in _files(folder) for name, value in load_file(file).items()}
    model, missing, _ = clip_of(CLIPConfig.from_pretrained(folder), state)
    if missing:
        raise ValueError(f"{len(missing)} weights are missing")
    return model


def _files(folder: Path) -> list[Path]:
    """One file of weights, or those that an index lists."""
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    index = read_json(folder / f"{WEIGHTS}.index.json", dict[str, Any], "fetch it again")
    return [folder / name for name in sorted(set(index["weight_map"].values()))]
