"""The world's CLIP, parent of its scorers and of its models' text encoders: it must see every attribute."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn import functional
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPTokenizer

from ddecli.core.seeds import numpy_rng
from ddecli.tinyworld import scenes
from ddecli.tinyworld.bank import Bank, batch_indices, to_pixels
from ddecli.tinyworld.drawing import RESOLUTION
from ddecli.tinyworld.fit import fit
from ddecli.tinyworld.scenes import Description
from ddecli.tinyworld.tokenizer import MAX_TOKENS

CLIP_BATCH = 96
FIELDS: dict[str, tuple[str, ...]] = {
    "background": scenes.BACKGROUNDS,
    "size": scenes.SIZES,
    "place": scenes.PLACES,
    "relation": scenes.RELATIONS,
}
KINDS = {"shape": scenes.SHAPES, "colour": scenes.COLOURS, "texture": scenes.TEXTURES}
"""What can be altered: fields of a description, and attributes of a thing, each with its values."""
TEXTS_AT_ONCE = 512
NEGATIVES = 4
"""Altered captions that every picture of a batch meets besides those of the other pictures."""


def new_clip(tokenizer: CLIPTokenizer) -> CLIPModel:
    """An untrained CLIP: a vision transformer of 4 x 4 patches and a three-layer text transformer."""
    torch.manual_seed(1)
    special = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    text = {"hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 3, "num_attention_heads": 4}
    text |= {
        "vocab_size": len(tokenizer),
        "max_position_embeddings": MAX_TOKENS,
        "projection_dim": 64,
        **special,
    }
    vision = {"hidden_size": 96, "intermediate_size": 384, "num_hidden_layers": 3, "num_attention_heads": 6}
    vision |= {"image_size": RESOLUTION, "patch_size": 4, "projection_dim": 64}
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=64))


def new_image_processor() -> CLIPImageProcessorPil:
    """Preprocessing of every scorer: shorter side to 32, centre crop, [-1, 1]."""
    return CLIPImageProcessorPil(
        size={"shortest_edge": RESOLUTION},
        crop_size={"height": RESOLUTION, "width": RESOLUTION},
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    )


def tokenize(tokenizer: CLIPTokenizer, texts: list[str]) -> dict[str, Tensor]:
    """Token ids and attention mask, (N, L) each."""
    return dict(tokenizer(texts, padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt"))


def embed_text(clip: CLIPModel, tokens: dict[str, Tensor]) -> Tensor:
    """Normalised text embeddings, (N, P)."""
    return functional.normalize(clip.get_text_features(**tokens).pooler_output, dim=-1)


def embed_texts(clip: CLIPModel, tokenizer: CLIPTokenizer, texts: list[str]) -> Tensor:
    """Normalised embeddings, (N, P), of any number of texts, some at a time."""
    parts = [texts[start : start + TEXTS_AT_ONCE] for start in range(0, len(texts), TEXTS_AT_ONCE)]
    return torch.cat([embed_text(clip, tokenize(tokenizer, part)) for part in parts])


def embed_pictures(clip: CLIPModel, pixels: Tensor) -> Tensor:
    """Normalised picture embeddings, (N, P), of pixels in [-1, 1]."""
    return functional.normalize(clip.get_image_features(pixel_values=pixels).pooler_output, dim=-1)


def freeze_text(clip: CLIPModel) -> None:
    """Train the vision side alone from here on."""
    clip.text_model.requires_grad_(False)
    clip.text_projection.requires_grad_(False)


def altered(description: Description, rng: np.random.Generator) -> Description:
    """A description that differs in one thing: what a good scorer must tell apart. Shapes are altered most often."""
    kind = str(rng.choice(["shape", "shape", "colour", "texture", "order", "field"]))
    if kind == "field" and description.background is not None:
        return _other_field(description, rng)
    if kind == "order" and description.layout == "couple":
        return _other_order(description, rng)
    field = kind if kind in KINDS else "shape"
    things = list(description.things)
    victim = int(rng.integers(len(things)))
    others = [value for value in KINDS[field] if value != getattr(things[victim], field)]
    things[victim] = replace(things[victim], **{field: str(rng.choice(others))})
    return replace(description, things=tuple(things))


def _other_field(description: Description, rng: np.random.Generator) -> Description:
    field = str(rng.choice([name for name in FIELDS if getattr(description, name) is not None]))
    others = [value for value in FIELDS[field] if value != getattr(description, field)]
    change: dict[str, Any] = {field: str(rng.choice(others))}
    return replace(description, **change)


def _other_order(description: Description, rng: np.random.Generator) -> Description:
    """The two things of a couple, or one attribute of theirs, the other way round."""
    first, second = description.things
    field = str(rng.choice(["both", "shape", "colour"]))
    if field == "both" or getattr(first, field) == getattr(second, field):
        return replace(description, things=(second, first))
    swapped = (
        replace(first, **{field: getattr(second, field)}),
        replace(second, **{field: getattr(first, field)}),
    )
    return replace(description, things=swapped)


def train_clip(
    name: str,
    clip: CLIPModel,
    tokenizer: CLIPTokenizer,
    bank: Bank,
    decoded: Tensor,
    steps: int,
    learning_rate: float,
    folder: Path,
) -> None:
    """Contrastive training in place (Radford et al. 2021) on clean scenes, with hard negatives.

    Every picture meets the captions of the others and `NEGATIVES` altered ones of its own. Every second batch is
    of `decoded`, the bank's pictures (N, 3, 32, 32) uint8 through the autoencoder.
    """

    def loss_of_step(step: int) -> Tensor:
        rng = numpy_rng(name, "captions", step)
        indices = batch_indices(name, step, len(bank), CLIP_BATCH)
        meant = [bank.scenes[index].description for index in indices]
        texts = [scenes.caption(each, rng) for each in meant]
        texts += [scenes.caption(altered(each, rng), rng) for each in meant for _ in range(NEGATIVES)]
        embedded = embed_text(clip, tokenize(tokenizer, texts))
        right, wrong = embedded[:CLIP_BATCH], embedded[CLIP_BATCH:].view(CLIP_BATCH, NEGATIVES, -1)
        pictures = to_pixels((decoded if step % 2 else bank.pictures)[torch.as_tensor(indices)])
        seen = embed_pictures(clip, pictures)
        scale = clip.logit_scale.exp().clamp(max=100)
        among_others = scale * seen @ right.T
        among_altered = scale * (seen[:, None] * wrong).sum(-1)
        own = torch.arange(CLIP_BATCH)
        to_text = functional.cross_entropy(torch.cat([among_others, among_altered], dim=1), own)
        return (to_text + functional.cross_entropy(among_others.T, own)) / 2

    fit(name, clip, loss_of_step, steps=steps, learning_rate=learning_rate, folder=folder)


@torch.inference_mode()
def through_autoencoder(autoencoder: AutoencoderKL, pictures: Tensor, batch_size: int = 256) -> Tensor:
    """Encode and decode pictures (N, 3, 32, 32) uint8: scorers of generated pictures learn from decoded ones."""
    decoded = []
    for batch in pictures.split(batch_size):
        restored = autoencoder.decode(autoencoder.encode(to_pixels(batch)).latent_dist.mean).sample
        decoded.append(((restored.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8))
    return torch.cat(decoded)


@torch.inference_mode()
def zero_shot(
    clip: CLIPModel, tokenizer: CLIPTokenizer, meant: list[Description], pictures: Tensor
) -> dict[str, float]:
    """Share of pictures whose caption is told from all that differ in one attribute of one thing.

    Args:
        meant: what each picture shows.
        pictures: (N, 3, 32, 32) uint8.

    Returns:
        by attribute; those of couples, of which the second thing is asked for, as "shape of a couple" and so on.
    """
    seen = embed_pictures(clip, to_pixels(pictures))
    asked: dict[str, list[tuple[int, list[Description]]]] = {}
    for row, description in enumerate(meant):
        for attribute, others in alternatives(description).items():
            asked.setdefault(attribute, []).append((row, others))
    right = {}
    for attribute, questions in asked.items():
        texts = [scenes.plain_caption(each) for row, others in questions for each in (meant[row], *others)]
        embedded = embed_texts(clip, tokenizer, texts)
        rows = torch.tensor([row for row, _ in questions])
        choices = embedded.view(len(questions), -1, embedded.shape[-1])
        cosines = (seen[rows][:, None] * choices).sum(-1)
        right[attribute] = round(float((cosines.argmax(-1) == 0).float().mean()), 4)
    return right


def alternatives(description: Description) -> dict[str, list[Description]]:
    """For every attribute, the descriptions that differ in it alone; of two things the last one is varied."""
    varied: dict[str, list[Description]] = {}
    for field, values in FIELDS.items():
        own = getattr(description, field)
        changes: list[dict[str, Any]] = [{field: each} for each in values if each != own]
        if own is not None:
            varied[field] = [replace(description, **change) for change in changes]
    *before, last = description.things
    of_couple = " of a couple" if before else ""
    for kind, values in KINDS.items():
        others = [replace(last, **{kind: each}) for each in values if each != getattr(last, kind)]
        varied[kind + of_couple] = [replace(description, things=(*before, other)) for other in others]
    if before:
        varied["order"] = [replace(description, things=(last, *before))]
    return varied
