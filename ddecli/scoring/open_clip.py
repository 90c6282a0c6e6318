"""Load a checkpoint of open_clip's two-tower CLIP as a transformers `CLIPModel`.

Both compute the same function; only names and shapes of the tensors differ. open_clip keeps the query, key and
value projections of a block in one tensor, and its output projections transposed (features @ projection).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor
from transformers import CLIPConfig, CLIPModel

from ddecli.core.errors import UserError, read_by_others

TOP = {
    "logit_scale": "logit_scale",
    "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "ln_final.weight": "text_model.final_layer_norm.weight",
    "ln_final.bias": "text_model.final_layer_norm.bias",
    "text_projection": "text_projection.weight",
    "visual.class_embedding": "vision_model.embeddings.class_embedding",
    "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
    "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
    "visual.ln_pre.weight": "vision_model.pre_layrnorm.weight",
    "visual.ln_pre.bias": "vision_model.pre_layrnorm.bias",
    "visual.ln_post.weight": "vision_model.post_layernorm.weight",
    "visual.ln_post.bias": "vision_model.post_layernorm.bias",
    "visual.proj": "visual_projection.weight",
}
TRANSPOSED = ("text_projection", "visual.proj")
BLOCK = re.compile(r"(?P<tower>visual\.)?transformer\.resblocks\.(?P<layer>\d+)\.(?P<name>.+)")
IN_BLOCK = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "attn.out_proj": "self_attn.out_proj",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}
BUFFERS = ("attn_mask",)
"""Tensors of a checkpoint that are no weights."""


def load_open_clip(file: Path, architecture: Path) -> CLIPModel:
    """Load an open_clip checkpoint in float32.

    Args:
        file: what `torch.save` wrote: a state dict, or a training checkpoint with one under `state_dict`.
        architecture: folder with the config.json of the same CLIP in transformers; the number of attention
            heads and the activation are in no tensor.

    Raises:
        UserError: the file is damaged, or holds another model.
    """
    with read_by_others(f"{file} is no checkpoint of open_clip's CLIP, or is damaged", "fetch it again"):
        saved = torch.load(file, map_location="cpu", weights_only=True)
        state = saved.get("state_dict", saved)
        weights = {name: tensor.float() for name, tensor in to_transformers(state).items()}
    try:
        model, found = CLIPModel.from_pretrained(
            None,
            config=CLIPConfig.from_pretrained(architecture),
            state_dict=weights,
            dtype=torch.float32,
            output_loading_info=True,
        )
        fits = not found["missing_keys"] and not found["unexpected_keys"]
    except RuntimeError:  # a tensor of another shape
        fits = False
    if not fits:
        raise UserError(
            f"{file} does not fit the CLIP of {architecture / 'config.json'}: give the two that belong together."
        )
    return model


def to_transformers(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename, split and transpose the tensors of an open_clip state dict.

    Raises:
        KeyError: a tensor that is none of open_clip's two-tower CLIP.
    """
    found: dict[str, Tensor] = {}
    for name, tensor in state.items():
        name = name.removeprefix("module.")  # as a data-parallel training saves it
        block = BLOCK.fullmatch(name)
        if block:
            found |= _block_weights(block, tensor)
        elif name not in BUFFERS:
            found[TOP[name]] = tensor.T if name in TRANSPOSED else tensor
    return found


def _block_weights(block: re.Match[str], tensor: Tensor) -> dict[str, Tensor]:
    tower = "vision_model" if block["tower"] else "text_model"
    prefix = f"{tower}.encoder.layers.{block['layer']}"
    module, _, kind = block["name"].rpartition(".")
    if block["name"].startswith("attn.in_proj_"):
        kind = block["name"].removeprefix("attn.in_proj_")
        parts = zip(("q_proj", "k_proj", "v_proj"), tensor.chunk(3), strict=True)
        return {f"{prefix}.self_attn.{name}.{kind}": part for name, part in parts}
    return {f"{prefix}.{IN_BLOCK[module]}.{kind}": tensor}
