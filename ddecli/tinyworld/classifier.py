"""The classifier of the world's Inception Score: colour x shape of a single clean thing, 36 classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn import functional
from transformers import ResNetConfig, ResNetForImageClassification

from ddecli.core.seeds import numpy_rng
from ddecli.tinyworld.bank import to_pixels
from ddecli.tinyworld.clip import through_autoencoder
from ddecli.tinyworld.drawing import draw
from ddecli.tinyworld.fit import fit
from ddecli.tinyworld.scenes import Description, Flaws, Scene, Thing, class_descriptions

BATCH_SIZE = 64


def class_names() -> list[str]:
    """Names of the 36 classes, colour and shape, in the order of the classifier's outputs."""
    return [f"{each.things[0].colour} {each.things[0].shape}" for each in class_descriptions()]


def new_classifier() -> ResNetForImageClassification:
    """An untrained three-stage residual network for 32 x 32 pictures."""
    torch.manual_seed(4)
    names = class_names()
    return ResNetForImageClassification(
        ResNetConfig(
            embedding_size=16,
            hidden_sizes=[16, 32, 64],
            depths=[1, 1, 1],
            layer_type="basic",
            num_labels=len(names),
            id2label=dict(enumerate(names)),
            label2id={name: index for index, name in enumerate(names)},
        )
    )


def classified_batch(step: int) -> tuple[Tensor, Tensor]:
    """Single things without flaws, any texture, place and background: (N, 3, 32, 32) uint8 and classes (N,)."""
    rng = numpy_rng("classifier", step)
    classes = class_descriptions()
    labels = rng.integers(len(classes), size=BATCH_SIZE)
    textures = rng.choice(["plain", "striped", "dotted"], size=BATCH_SIZE, p=[0.6, 0.2, 0.2])
    pictures = []
    for label, texture in zip(labels, textures, strict=True):
        thing = classes[label].things[0]
        meant = Description("single", (Thing(thing.shape, thing.colour, str(texture)),))
        pictures.append(draw(Scene(meant, Flaws(), int(rng.integers(2**62)))))
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2), torch.from_numpy(labels)


def train_classifier(autoencoder: AutoencoderKL, steps: int, folder: Path) -> ResNetForImageClassification:
    """Cross-entropy with label smoothing on drawn pictures, every second batch through the autoencoder."""
    classifier = new_classifier()

    def loss_of_step(step: int) -> Tensor:
        pictures, labels = classified_batch(step)
        if step % 2:
            pictures = through_autoencoder(autoencoder, pictures)
        logits = classifier(pixel_values=to_pixels(pictures)).logits
        return functional.cross_entropy(logits, labels, label_smoothing=0.05)

    fit(
        "classifier",
        classifier,
        loss_of_step,
        steps=steps,
        learning_rate=3e-3,
        folder=folder,
        ema_decay=0,
    )
    return classifier


@torch.inference_mode()
def held_out_accuracy(classifier: ResNetForImageClassification, batches: int = 8) -> float:
    """Share of drawn pictures it has not seen that it puts into the right class."""
    right = []
    for step in range(100_000, 100_000 + batches):  # far beyond the training's steps
        pictures, labels = classified_batch(step)
        right.append(classifier(pixel_values=to_pixels(pictures)).logits.argmax(-1) == labels)
    return round(float(torch.cat(right).float().mean()), 4)
