"""The world's preference scorers, `hps` and `pickscore`: its CLIP, fine-tuned on choices of one group of annotators.

Neither sees a scene that the preference pairs contain.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional
from transformers import CLIPModel, CLIPTokenizer

from ddecli.core.files import atomic_file
from ddecli.core.seeds import numpy_rng
from ddecli.tinyworld import scenes
from ddecli.tinyworld.annotators import GROUPS, Annotators
from ddecli.tinyworld.bank import batch_indices, to_pixels
from ddecli.tinyworld.clip import (
    embed_pictures,
    embed_text,
    embed_texts,
    freeze_text,
    through_autoencoder,
    tokenize,
)
from ddecli.tinyworld.drawing import draw
from ddecli.tinyworld.fit import fit
from ddecli.tinyworld.scenes import Scene

PAIR_BATCH = 64
SCALES = ("coarse", "middle", "fine")


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


def train_preference_scorer(
    name: str,
    clip: CLIPModel,
    tokenizer: CLIPTokenizer,
    choices: Choices,
    group: Annotators,
    steps: int,
    folder: Path,
) -> None:
    """Fine-tune `clip` in place on annotators' choices, as PickScore was (Kirstain et al. 2023).

    The loss is the cross-entropy of softmax(exp(logit_scale) cos) with the share of votes, ties counting half.
    The text side stays, and anchors what captions mean. Every second batch is of decoded pictures.
    """
    freeze_text(clip)

    def loss_of_step(step: int) -> Tensor:
        indices = batch_indices(name, step, len(choices), PAIR_BATCH)
        rng = numpy_rng("votes", name, step)
        first, second = ([side[index] for index in indices] for side in (choices.first, choices.second))
        texts = embed_text(
            clip, tokenize(tokenizer, [scenes.caption(each.description, rng) for each in first])
        )
        pixels = to_pixels(choices.pictures[step % 2][:, torch.as_tensor(indices)].flatten(0, 1))
        seen = embed_pictures(clip, pixels).view(2, PAIR_BATCH, -1)
        cosines = (seen * texts).sum(-1)
        votes = [
            [group.prefer_first(a.flaws, b.flaws, rng) for _ in range(VOTES)]
            for a, b in zip(first, second, strict=True)
        ]
        shares = torch.tensor(votes).mean(dim=1)
        logits = clip.logit_scale.exp() * (cosines[0] - cosines[1])
        loss = functional.binary_cross_entropy_with_logits(logits, shares)
        right = torch.tensor([number for number, each in enumerate(first) if each.flaws.coarse is None])
        captions = clip.logit_scale.exp() * seen[0] @ texts.T
        return loss + KEEP_CAPTIONS * functional.cross_entropy(captions[right], right)

    fit(name, clip, loss_of_step, steps=steps, learning_rate=6e-4, folder=folder, ema_decay=0.99)


@torch.inference_mode()
def agreement(clip: CLIPModel, tokenizer: CLIPTokenizer, choices: Choices) -> dict[str, Any]:
    """How well a scorer judges choices between decoded pictures that it has not seen.

    Returns:
        for every group of annotators: `agrees`, the share of pairs on whose better picture, by the group's utility, it
        agrees; `votes`, the share of the group's votes that are cast for its choice, ties left out; `ceiling`, the
        share that are cast for the better picture, which no judge can pass. `coarse`, `middle`, `fine`: `agrees` with
        the voters on pairs that differ in flaws of this scale alone.
    """
    texts = [scenes.plain_caption(each.description) for each in choices.first]
    embedded = embed_texts(clip, tokenizer, texts)
    pixels = choices.pictures[1].flatten(0, 1)
    seen = torch.cat([embed_pictures(clip, to_pixels(batch)) for batch in pixels.split(512)])
    cosine = (seen.view(2, len(choices), -1) * embedded).sum(-1).double().numpy()
    chosen = np.sign(cosine[0] - cosine[1])
    pairs = list(zip(choices.first, choices.second, strict=True))
    measured: dict[str, Any] = {}
    for group in GROUPS:
        better = np.array([group.utility(a.flaws) - group.utility(b.flaws) for a, b in pairs])
        first, second = group.vote_chances(better)
        cast, differ = first + second, better != 0
        for_choice = np.where(chosen > 0, first, second)[differ].sum() / cast[differ].sum()
        for_better = np.where(better > 0, first, second)[differ].sum() / cast[differ].sum()
        measured[group.name] = {
            "agrees": _share((chosen * better > 0)[differ]),
            "votes": round(float(for_choice), 4),
            "ceiling": round(float(for_better), 4),
        }
    apart = np.array([np.subtract(a.flaws.severities, b.flaws.severities) for a, b in pairs])
    for scale, name in enumerate(SCALES):
        alone = (apart[:, scale] != 0) & (np.delete(apart, scale, axis=1) == 0).all(axis=1)
        measured[name] = _share((chosen * -apart[:, scale] > 0)[alone])
    return measured


def _share(right: np.ndarray) -> float:
    return round(float(right.mean()), 4)
