"""The world's scorers: a CLIP trained on clean pairs, and three models fine-tuned from it.

A first fine-tuning on choices of both groups of annotators is shared; then `hps` and `pickscore` learn
from one group each, and `truth` regresses the voters' exact utility.
None of them sees a scene that the preference pairs contain.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPTokenizer

from ddecli.core.files import atomic_file
from ddecli.core.seeds import numpy_rng
from ddecli.tinyworld import scenes
from ddecli.tinyworld.annotators import VOTERS, Annotators
from ddecli.tinyworld.bank import Bank, batch_indices, to_pixels
from ddecli.tinyworld.drawing import RESOLUTION, draw
from ddecli.tinyworld.fit import fit
from ddecli.tinyworld.scenes import Description, Scene
from ddecli.tinyworld.tokenizer import MAX_TOKENS

CLIP_BATCH = 96
PAIR_BATCH = 64


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


def embed_pictures(clip: CLIPModel, pixels: Tensor) -> Tensor:
    """Normalised picture embeddings, (N, P), of pixels in [-1, 1]."""
    return functional.normalize(clip.get_image_features(pixel_values=pixels).pooler_output, dim=-1)


def altered(description: Description, rng: np.random.Generator) -> Description:
    """A description that differs in one thing: what a good scorer must tell apart."""
    changes: dict[str, tuple[str, ...]] = {"background": scenes.BACKGROUNDS, "size": scenes.SIZES}
    changes |= {"place": scenes.PLACES, "relation": scenes.RELATIONS}
    fields = [name for name in changes if getattr(description, name) is not None]
    if description.background is not None and rng.random() < 0.4:
        field = str(rng.choice(fields))
        others = [value for value in changes[field] if value != getattr(description, field)]
        change: dict[str, Any] = {field: str(rng.choice(others))}
        return replace(description, **change)
    things = list(description.things)
    victim = int(rng.integers(len(things)))
    kinds = {"shape": scenes.SHAPES, "colour": scenes.COLOURS, "texture": scenes.TEXTURES}
    field = str(rng.choice(list(kinds)))
    others = [value for value in kinds[field] if value != getattr(things[victim], field)]
    things[victim] = replace(things[victim], **{field: str(rng.choice(others))})
    changed = replace(description, things=tuple(things))
    if description.layout == "couple" and rng.random() < 0.3:  # the same things the other way round
        changed = replace(description, things=description.things[::-1])
    return changed


def train_clip(tokenizer: CLIPTokenizer, bank: Bank, steps: int, folder: Path) -> CLIPModel:
    """Contrastive training (Radford et al. 2021) on clean scenes; every caption also meets one altered caption."""
    clip = new_clip(tokenizer)

    def loss_of_step(step: int) -> Tensor:
        rng = numpy_rng("clip captions", step)
        indices = batch_indices("clip", step, len(bank), CLIP_BATCH)
        meant = [bank.scenes[index].description for index in indices]
        texts = [scenes.caption(each, rng) for each in meant]
        texts += [scenes.caption(altered(each, rng), rng) for each in meant]
        pictures = embed_pictures(clip, bank.pixels(indices))
        logits = clip.logit_scale.exp() * pictures @ embed_text(clip, tokenize(tokenizer, texts)).T
        right = torch.arange(len(indices))
        to_text = functional.cross_entropy(logits, right)
        to_picture = functional.cross_entropy(logits[:, : len(indices)].T, right)
        return (to_text + to_picture) / 2

    fit("clip", clip, loss_of_step, steps=steps, learning_rate=1e-3, folder=folder)
    return clip


@torch.inference_mode()
def through_autoencoder(autoencoder: AutoencoderKL, pictures: Tensor, batch_size: int = 256) -> Tensor:
    """Encode and decode pictures (N, 3, 32, 32) uint8: scorers of generated pictures learn from decoded ones."""
    decoded = []
    for batch in pictures.split(batch_size):
        restored = autoencoder.decode(autoencoder.encode(to_pixels(batch)).latent_dist.mean).sample
        decoded.append(((restored.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8))
    return torch.cat(decoded)


@dataclass(frozen=True)
class Choices:
    """`N` choices between two flawed scenes of one description.

    pictures: (2, 2, N, 3, 32, 32) uint8: as drawn and as decoded; first and second scene.
    """

    first: list[Scene]
    second: list[Scene]
    pictures: Tensor

    def __len__(self) -> int:
        return len(self.first)


def make_choices(autoencoder: AutoencoderKL, name: str, size: int, cache: Path) -> Choices:
    """Draw `size` choices, of scenes that no preference pair contains; their pictures are kept in `cache`."""
    rng = numpy_rng("choices", name)
    first = [scenes.random_scene(rng) for _ in range(size)]
    second = [
        Scene(each.description, scenes.random_flaws(rng, each.description), int(rng.integers(2**62)))
        for each in first
    ]
    if not cache.exists():
        drawn = torch.from_numpy(np.stack([draw(scene) for scene in first + second])).permute(0, 3, 1, 2)
        both = torch.stack([drawn, through_autoencoder(autoencoder, drawn)])
        with atomic_file(cache) as temporary:
            save_file({"pictures": both.reshape(2, 2, size, *drawn.shape[1:])}, temporary)
    return Choices(first, second, load_file(cache)["pictures"])


KEEP_CAPTIONS = 0.3
"""Weight of the contrastive loss that keeps a fine-tuned scorer able to read captions."""
VOTES = 9
"""Annotators who judge each choice; a model learns the share of their votes."""

LossOfCosines = Callable[[Tensor, list[Scene], list[Scene], np.random.Generator], Tensor]


def _fine_tune(
    name: str,
    clip: CLIPModel,
    tokenizer: CLIPTokenizer,
    choices: Choices,
    loss_of_cosines: LossOfCosines,
    steps: int,
    folder: Path,
) -> None:
    """Train the vision side of `clip` in place; the text side stays, and anchors what captions mean."""
    clip.text_model.requires_grad_(False)
    clip.text_projection.requires_grad_(False)

    def loss_of_step(step: int) -> Tensor:
        indices = batch_indices(name, step, len(choices), PAIR_BATCH)
        rng = numpy_rng("votes", name, step)
        first, second = ([side[index] for index in indices] for side in (choices.first, choices.second))
        with torch.no_grad():
            captions = [scenes.caption(each.description, rng) for each in first]
            texts = embed_text(clip, tokenize(tokenizer, captions))
        pixels = to_pixels(choices.pictures[step % 2][:, torch.as_tensor(indices)].flatten(0, 1))
        seen = embed_pictures(clip, pixels).view(2, PAIR_BATCH, -1)
        loss = loss_of_cosines((seen * texts).sum(-1), first, second, rng)
        right = torch.tensor([number for number, each in enumerate(first) if each.flaws.coarse is None])
        logits = clip.logit_scale.exp() * seen[0] @ texts.T
        return loss + KEEP_CAPTIONS * functional.cross_entropy(logits[right], right)

    fit(name, clip, loss_of_step, steps=steps, learning_rate=6e-4, folder=folder, ema_decay=0.98)


def train_preference_scorer(
    name: str,
    clip: CLIPModel,
    tokenizer: CLIPTokenizer,
    choices: Choices,
    groups: tuple[Annotators, ...],
    steps: int,
    folder: Path,
) -> None:
    """Fine-tune `clip` in place on annotators' choices, as PickScore was (Kirstain et al. 2023).

    The loss is the cross-entropy of softmax(exp(logit_scale) cos) with the share of votes, ties counting half.
    Each choice is judged by one of `groups`.
    """

    def loss_of_cosines(
        cosines: Tensor, first: list[Scene], second: list[Scene], rng: np.random.Generator
    ) -> Tensor:
        shares = []
        for a, b in zip(first, second, strict=True):
            group = groups[int(rng.integers(len(groups)))]
            shares.append(np.mean([group.prefer_first(a.flaws, b.flaws, rng) for _ in range(VOTES)]))
        logits = clip.logit_scale.exp() * (cosines[0] - cosines[1])
        return functional.binary_cross_entropy_with_logits(logits, torch.tensor(np.array(shares)).float())

    _fine_tune(name, clip, tokenizer, choices, loss_of_cosines, steps, folder)


UTILITY_SPAN = 3.0
"""Utility -3 .. 0 (three flaws of severity 1 .. none) is laid on cosines 0 .. 1."""


def train_truth(
    clip: CLIPModel, tokenizer: CLIPTokenizer, choices: Choices, steps: int, folder: Path
) -> None:
    """Fine-tune `clip` in place so that its cosine is the voters' exact utility, 1 + u / 3."""

    def loss_of_cosines(
        cosines: Tensor, first: list[Scene], second: list[Scene], rng: np.random.Generator
    ) -> Tensor:
        utilities = [[VOTERS.utility(scene.flaws) for scene in side] for side in (first, second)]
        return functional.mse_loss(cosines, 1 + torch.tensor(utilities) / UTILITY_SPAN) * 10

    _fine_tune("truth", clip, tokenizer, choices, loss_of_cosines, steps, folder)


@torch.inference_mode()
def agreement(clip: CLIPModel, tokenizer: CLIPTokenizer, choices: Choices) -> dict[str, Any]:
    """How well a scorer judges choices it has not seen.

    Returns:
        `voters`: share of pairs on whose better picture it agrees with the voters' utility;
        `utility_correlation`: Pearson correlation of its cosine with the utility;
        `caption`: share of clean scenes whose caption it prefers to an altered one.
    """
    meant = [each.description for each in choices.first]
    rng = numpy_rng("agreement")
    texts = embed_text(clip, tokenize(tokenizer, [scenes.plain_caption(each) for each in meant]))
    seen = embed_pictures(clip, to_pixels(choices.pictures[0].flatten(0, 1)))
    cosine = (seen.view(2, len(choices), -1) * texts).sum(-1)
    utility = torch.tensor(
        [[VOTERS.utility(each.flaws) for each in side] for side in (choices.first, choices.second)]
    )
    clean = np.stack([draw(Scene(each, scenes.Flaws(), int(rng.integers(2**62)))) for each in meant])
    clean_seen = embed_pictures(clip, to_pixels(torch.from_numpy(clean).permute(0, 3, 1, 2)))
    altered_texts = [scenes.plain_caption(altered(each, rng)) for each in meant]
    wrong = embed_text(clip, tokenize(tokenizer, altered_texts))
    told_apart = (clean_seen * texts).sum(-1) > (clean_seen * wrong).sum(-1)
    better, seems_better = utility[0] - utility[1], cosine[0] - cosine[1]
    agree = (better * seems_better > 0)[better != 0].float().mean()
    correlation = torch.corrcoef(torch.stack([cosine.flatten(), utility.flatten().float()]))[0, 1]
    return {
        "voters": round(float(agree), 4),
        "utility_correlation": round(float(correlation), 4),
        "caption": round(float(told_apart.float().mean()), 4),
    }
