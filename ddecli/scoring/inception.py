"""Inception Score (Salimans et al. 2016) by torchmetrics: exp of the mean KL of p(y|x) from p(y)."""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics.image.inception import InceptionScore
from transformers import ResNetForImageClassification
from transformers.utils import logging as transformers_logging

from ddecli.core.console import progress
from ddecli.core.errors import BadRow, UserError
from ddecli.core.files import sha256_file
from ddecli.core.protocol import METADATA
from ddecli.core.seeds import seed_of
from ddecli.scoring.decode import decoded_batches
from ddecli.scoring.presets import TINY_WEIGHTS
from ddecli.scoring.sources import image_files, read_protocol

TINY_CLASSIFIER = TINY_WEIGHTS / "classifier"
CLASSIFIER_SIZE = 32


class ClassifierLogits(nn.Module):
    """The tiny world's classifier for torchmetrics: uint8 (N, 3, height, width) to logits (N, classes).

    Logits are float64: a class that no image of a part shows must not come out as probability 0.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        if not (folder / "config.json").is_file():
            raise UserError(f"The classifier is not in {folder} (no config.json): give --classifier FOLDER.")
        transformers_logging.disable_progress_bar()
        self.network = ResNetForImageClassification.from_pretrained(folder, dtype=torch.float32).eval()

    def forward(self, images: Tensor) -> Tensor:
        pixels = images.float() / 127.5 - 1
        if pixels.shape[-2:] != (CLASSIFIER_SIZE, CLASSIFIER_SIZE):
            size = (CLASSIFIER_SIZE, CLASSIFIER_SIZE)
            pixels = functional.interpolate(pixels, size, mode="bilinear", antialias=True)
        return self.network(pixel_values=pixels).logits.double()


def inception_score(
    source: Path,
    classifier: str = "tiny",
    splits: int = 10,
    seed: int = 0,
    batch_size: int = 64,
    device: str | torch.device = "cpu",
) -> dict[str, Any]:
    """Inception Score of the images of a folder.

    The images are put into an order drawn from `seed`, then cut into `splits` parts; `std` is the sample
    standard deviation (n - 1) of the parts' scores, as torchmetrics computes it.

    Args:
        classifier: `tiny`, a ResNetForImageClassification folder, or `inception` (Inception-V3, 299 pixels).

    Returns:
        mean, std (None for one part), splits, images, classifier, conventions, protocol.

    Raises:
        UserError: fewer images than splits, an unreadable image, or the classifier is not at hand.
    """
    files = _files(source)
    if len(files) < splits:
        raise UserError(
            f"{source} has {len(files)} images, fewer than {splits} splits: sample more, or lower --splits."
        )
    metric, card = _metric(classifier, splits)
    metric = metric.to(device)
    bad: dict[int, BadRow] = {}
    with progress("inception", total=len(files), unit="images") as advance, torch.inference_mode():
        for positions, images in decoded_batches(files, _to_uint8, batch_size, bad):
            same_size = len({image.shape for image in images}) == 1
            for batch in [torch.stack(images)] if same_size else [image[None] for image in images]:
                metric.update(batch.to(device))
            advance(len(positions))
    if bad:
        raise UserError(
            f"{len(bad)} of {len(files)} images cannot be read, first {next(iter(bad.values()))}."
        )
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that one part has no standard deviation
        torch.manual_seed(
            seed_of("inception", seed)
        )  # torchmetrics draws its order from torch's own generator
        mean, std = metric.compute()
    per_part = math.ceil(len(files) / splits)
    return {
        "mean": float(mean),
        "std": None if torch.isnan(std) else float(std),
        "splits": math.ceil(len(files) / per_part),
        "images": len(files),
        "classifier": card,
        "conventions": {
            "order": f"random permutation, seed {seed}",
            "parts": f"{per_part} images each, the last may have fewer",
            "std": "n - 1",
            "input": "uint8",
            "package": "torchmetrics InceptionScore",
        },
        "protocol": read_protocol(source),
    }


def _files(source: Path) -> list[Path]:
    """A sample's images in the order of its metadata, anybody's in the order of their names."""
    if not source.is_dir():
        raise UserError(f"{source} is no folder of images.")
    if read_protocol(source) is None:
        return image_files(source)
    lines = (source / METADATA).read_text(encoding="utf-8").splitlines()
    return [source / json.loads(line)["file_name"] for line in lines]


def _metric(classifier: str, splits: int) -> tuple[InceptionScore, dict[str, Any]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that it keeps every image's logits in memory
        if classifier != "inception":
            folder = TINY_CLASSIFIER if classifier == "tiny" else Path(classifier)
            metric = InceptionScore(feature=ClassifierLogits(folder), splits=splits)
            digest = sha256_file(folder / "model.safetensors")
            label = "tiny/classifier" if classifier == "tiny" else folder.name
            return metric, {"model": label, "sha256": digest, "size": CLASSIFIER_SIZE}
        try:
            metric = InceptionScore(splits=splits)
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
        return metric, {"model": "Inception-V3 2015-12-05 (torch-fidelity), logits_unbiased", "size": 299}


def _to_uint8(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)
