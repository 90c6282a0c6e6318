"""The networks of the Inception Score and of FID: uint8 pictures (N, 3, height, width) to logits or features."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import ResNetForImageClassification

from ddecli.core.errors import UserError, read_by_others
from ddecli.core.files import sha256_file
from ddecli.models.quiet import hide_progress_bars
from ddecli.scoring.published import WORLD_WEIGHTS

TINY_CLASSIFIER = WORLD_WEIGHTS / "classifier"
CLASSIFIER_SIZE = 32
INCEPTION_SIZE, POOLED = 299, 2048
INCEPTION = "Inception-V3 2015-12-05 (torch-fidelity)"


class ClassifierLogits(nn.Module):
    """A ResNetForImageClassification, as the tiny world's is: pictures of 32 pixels, from -1 to 1."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        if not (folder / "config.json").is_file():
            raise UserError(f"The classifier is not in {folder} (no config.json): give --classifier FOLDER.")
        hide_progress_bars()
        with read_by_others(f"The classifier in {folder} cannot be loaded", "save or fetch it again"):
            self.network, found = ResNetForImageClassification.from_pretrained(
                folder, dtype=torch.float32, output_loading_info=True
            )
            if found["missing_keys"]:  # transformers would go on with random ones
                raise ValueError(f"{len(found['missing_keys'])} weights are missing")
            self.network.eval()
            with torch.inference_mode():  # what does not fit together shows when it is used
                self.network(pixel_values=torch.zeros(1, 3, CLASSIFIER_SIZE, CLASSIFIER_SIZE))

    def forward(self, images: Tensor) -> Tensor:
        """images: (N, 3, height, width) uint8 -> logits (N, classes) float32."""
        return self.network(pixel_values=self.prepared(images)).logits

    def prepared(self, images: Tensor) -> Tensor:
        """What the network takes of pictures, (N, 3, 32, 32) float32."""
        pixels = images.float() / 127.5 - 1
        if pixels.shape[-2:] != (CLASSIFIER_SIZE, CLASSIFIER_SIZE):
            size = (CLASSIFIER_SIZE, CLASSIFIER_SIZE)
            pixels = functional.interpolate(pixels, size, mode="bilinear", antialias=True)
        return pixels


class ClassifierFeatures(nn.Module):
    """Such a classifier up to what its last layer takes: its pooled features."""

    def __init__(self, classifier: ClassifierLogits) -> None:
        super().__init__()
        self.classifier = classifier
        self.num_features: int = classifier.network.config.hidden_sizes[-1]

    def forward(self, images: Tensor) -> Tensor:
        """images: (N, 3, height, width) uint8 -> (N, num_features) float32."""
        pixels = self.classifier.prepared(images)
        return self.classifier.network.resnet(pixel_values=pixels).pooler_output.flatten(1)


def load_classifier(name: str) -> tuple[nn.Module, dict[str, Any]]:
    """A network and its card.

    Args:
        name: `tiny`, `inception` (Inception-V3 as torchmetrics has it, 1008 logits without their biases), or a
            ResNetForImageClassification folder.

    Raises:
        UserError: it is not at hand; says what to install or to download.
    """
    if name == "inception":
        from torchmetrics.image.inception import (
            InceptionScore,  # slow to import, and no other network needs it
        )

        card = {"model": f"{INCEPTION}, logits_unbiased", "size": INCEPTION_SIZE}
        return _inception_v3(lambda: InceptionScore().inception), card
    return _classifier(name)


def load_features(name: str) -> tuple[nn.Module, dict[str, Any]]:
    """The same up to the features that the logits are formed of: `num_features`, of Inception-V3 2048."""
    if name == "inception":
        from torchmetrics.image.fid import FrechetInceptionDistance

        network = _inception_v3(lambda: FrechetInceptionDistance(feature=POOLED).inception)
        network.num_features = POOLED
        return network, {"model": f"{INCEPTION}, pool3", "size": INCEPTION_SIZE}
    classifier, card = _classifier(name)
    return ClassifierFeatures(classifier), card


def _classifier(name: str) -> tuple[ClassifierLogits, dict[str, Any]]:
    folder = TINY_CLASSIFIER if name == "tiny" else Path(name)
    network = ClassifierLogits(folder)
    label = "tiny/classifier" if name == "tiny" else folder.name
    return network, {
        "model": label,
        "sha256": sha256_file(folder / "model.safetensors"),
        "size": CLASSIFIER_SIZE,
    }


def _inception_v3(make: Callable[[], nn.Module]) -> Any:
    """What torchmetrics makes of torch-fidelity's network."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # about its memory, of which nothing is used here
        try:
            return make()
        except ModuleNotFoundError as error:
            raise UserError(
                "Inception-V3 comes with torch-fidelity: install it with `pip install 'ddecli[inception]'`."
            ) from error
        except OSError as error:
            raise UserError(
                f"The weights of Inception-V3 cannot be downloaded ({error}): put "
                "weights-inception-2015-12-05-6726825d.pth of torch-fidelity's release v0.2.0 "
                "into torch's hub cache (~/.cache/torch/hub/checkpoints)."
            ) from error
