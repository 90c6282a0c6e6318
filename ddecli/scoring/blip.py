"""Load ImageReward's BLIP as transformers' `BlipVisionModel` and `BlipTextModel`.

Both compute the same function; in the text encoder even the names of the tensors agree. What no tensor says
is taken from the authors' code: attention heads of 64 numbers in the picture's transformer, and its layer
norms' epsilon (BLIP, https://github.com/zai-org/ImageReward, ImageReward/models/BLIP).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import BlipTextConfig, BlipTextModel, BlipVisionConfig, BlipVisionModel

from ddecli.core.errors import read_by_others
from ddecli.core.files import read_json
from ddecli.scoring.aesthetic import AestheticHead
from ddecli.scoring.filled import filled

VISION, TEXT, HEAD = "blip.visual_encoder.", "blip.text_encoder.", "mlp."
UNUSED = ("blip.vision_proj.", "blip.text_proj.", "blip.text_encoder.embeddings.position_ids")
"""Tensors of the checkpoint that play no part in the reward."""
VISION_TOP = {
    "cls_token": "embeddings.class_embedding",
    "pos_embed": "embeddings.position_embedding",
    "patch_embed.proj.weight": "embeddings.patch_embedding.weight",
    "patch_embed.proj.bias": "embeddings.patch_embedding.bias",
    "norm.weight": "post_layernorm.weight",
    "norm.bias": "post_layernorm.bias",
}
BLOCK = re.compile(r"blocks\.(?P<layer>\d+)\.(?P<module>.+)\.(?P<kind>weight|bias)")
IN_BLOCK = {
    "norm1": "layer_norm1",
    "attn.qkv": "self_attn.qkv",
    "attn.proj": "self_attn.projection",
    "norm2": "layer_norm2",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
}
HEAD_WIDTH = 64
VISION_EPSILON = 1e-6
TEXT_SETTINGS = (
    "hidden_act",
    "hidden_size",
    "intermediate_size",
    "layer_norm_eps",
    "max_position_embeddings",
    "num_attention_heads",
    "num_hidden_layers",
    "pad_token_id",
    "vocab_size",
)
"""What med_config.json says of the text encoder."""


class ImageTextEncoder(nn.Module):
    """A prompt read beside a picture: a BERT whose layers also attend to the picture's patches."""

    def __init__(self, vision: BlipVisionModel, text: BlipTextModel) -> None:
        super().__init__()
        self.vision, self.text = vision, text

    def forward(self, pixels: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
        """The state at the first token.

        Args:
            pixels: (N, 3, height, width).
            tokens: (N, L) token numbers of a prompt for each picture.
            mask: (N, L), 1 for tokens and 0 for padding.

        Returns:
            (N, E).
        """
        patches = self.vision(pixel_values=pixels).last_hidden_state
        read = self.text(input_ids=tokens, attention_mask=mask, encoder_hidden_states=patches)
        return read.last_hidden_state[:, 0]


def load_image_reward(file: Path, text_config: Path) -> tuple[ImageTextEncoder, AestheticHead]:
    """Load ImageReward's checkpoint in float32: the encoder, and the head that makes one number of its state.

    Args:
        file: what `torch.save` wrote: a state dict.
        text_config: med_config.json, as published with it.

    Raises:
        UserError: a file is damaged, or holds another model.
    """
    with read_by_others(f"{file} is no checkpoint of ImageReward, or is damaged", "fetch it again"):
        state = torch.load(file, map_location="cpu", weights_only=True)
        vision, text, head = split({name: tensor.float() for name, tensor in state.items()})
        vision_config = _vision_config(vision)
    settings = read_json(text_config, dict[str, Any], "fetch it again")
    with read_by_others(f"{file} does not fit {text_config}", "give the two that belong together"):
        config = BlipTextConfig(
            **{name: settings[name] for name in TEXT_SETTINGS},
            encoder_hidden_size=vision_config.hidden_size,
            is_decoder=True,  # has cross attention; the tokens see each other both ways all the same
        )
        reward = AestheticHead(config.hidden_size)  # the same layers: ImageReward took them over
        reward.load_state_dict(head)
        reader = filled(BlipTextModel, config, text, attention="eager", add_pooling_layer=False)
        vision_model = filled(BlipVisionModel, vision_config, vision, attention="eager")
        encoder = ImageTextEncoder(vision_model, reader)
    return encoder, reward.eval()


def split(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
    """The tensors of picture encoder and text encoder by transformers' names, and those of the head.

    Raises:
        KeyError: a tensor that is none of ImageReward's.
    """
    vision, text, head = {}, {}, {}
    for name, tensor in state.items():
        if name.startswith(UNUSED):
            continue
        if name.startswith(VISION):
            vision[_vision_name(name.removeprefix(VISION))] = tensor
        elif name.startswith(TEXT):
            text[name.removeprefix(TEXT)] = tensor
        elif name.startswith(HEAD):
            head[name.removeprefix(HEAD)] = tensor
        else:
            raise KeyError(name)
    return vision, text, head


def _vision_name(name: str) -> str:
    block = BLOCK.fullmatch(name)
    if block is None:
        return VISION_TOP[name]
    return f"encoder.layers.{block['layer']}.{IN_BLOCK[block['module']]}.{block['kind']}"


def _vision_config(weights: Mapping[str, Tensor]) -> BlipVisionConfig:
    """The architecture that the tensors' shapes tell (ViT-L/16 at 224 pixels as published)."""
    width, _, patch, _ = weights["embeddings.patch_embedding.weight"].shape
    patches = weights["embeddings.position_embedding"].shape[1] - 1
    return BlipVisionConfig(
        hidden_size=width,
        intermediate_size=weights["encoder.layers.0.mlp.fc1.weight"].shape[0],
        num_hidden_layers=sum(name.endswith("layer_norm1.weight") for name in weights),
        num_attention_heads=width // HEAD_WIDTH,
        image_size=patch * math.isqrt(patches),
        patch_size=patch,
        hidden_act="gelu",
        layer_norm_eps=VISION_EPSILON,
    )
