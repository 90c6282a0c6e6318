"""Inception Score (Salimans et al. 2016): exp of the mean KL of p(y|x) from p(y), as torchmetrics has it.

The logits are computed chunk by chunk, by one machine or by several, and kept; the score is formed from them when
all are there. So it does not depend on who computed what, and a stopped command goes on where it stopped.
"""

from __future__ import annotations

import contextlib
import math
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from ddecli.core.console import progress
from ddecli.core.devices import exact_float32
from ddecli.core.errors import BadRow, UserError
from ddecli.core.protocol import LOGITS, METADATA
from ddecli.core.seeds import torch_generator
from ddecli.core.world import TINY, require_edition, world_of
from ddecli.scoring.classifiers import load_classifier
from ddecli.scoring.decode import decoded_batches
from ddecli.scoring.logits import LogitsStore, split_scores
from ddecli.scoring.sources import image_files, protocol_of, read_source, world_of_images


def inception_score(
    source: Path,
    classifier: str = "auto",
    splits: int = 10,
    seed: int = 0,
    batch_size: int = 64,
    device: str | torch.device = "cpu",
    shard: tuple[int, int] = (1, 1),
) -> dict[str, Any]:
    """Classify a shard's images of a folder and, once all are classified, form the Inception Score.

    The images are put into an order drawn from `seed`, then cut into `splits` parts; `std` is the sample
    standard deviation (n - 1) of the parts' scores, as torchmetrics computes it.

    Args:
        classifier: `tiny`, a ResNetForImageClassification folder, `inception` (Inception-V3, 299 pixels), or `auto`:
            `tiny` for images of the tiny world, else `inception`.
        shard: (I, N) classifies the I-th of N parts of the folder.

    Returns:
        complete, images and classified (how many are); and, when complete: mean, std (None for one part), splits,
        classifier, conventions, protocol.

    Raises:
        UserError: fewer images than splits, an unreadable image, `tiny` for images sampled from another model, or
            the classifier is not at hand.
    """
    files = files_of(source)
    if len(files) < splits:
        raise UserError(
            f"{source} has {len(files)} images, fewer than {splits} splits: sample more, or lower --splits."
        )
    protocol = protocol_of(source)
    network, card = load_classifier(choose_classifier(classifier, source, protocol, files))
    number, shards = shard
    with _logits_folder(source, shards) as folder:
        store = LogitsStore(folder, files, card)
        _classify(store, network.to(device), store.chunks[number - 1 :: shards], batch_size, device)
        missing = store.missing(store.chunks)
        classified = len(files) - sum(len(store.images(chunk)) for chunk in missing)
        state = {"complete": not missing, "images": len(files), "classified": classified}
        if missing:
            return state
        per_part = math.ceil(len(files) / splits)
        scores = split_scores(store.read(), _parts(len(files), per_part, seed))
    if not torch.isfinite(scores).all():
        raise UserError(f"The classifier {card['model']} gives numbers that are not finite: fetch it again.")
    return {
        **state,
        "mean": float(scores.mean()),
        "std": float(scores.std()) if len(scores) > 1 else None,
        "splits": len(scores),
        "classifier": card,
        "conventions": {
            "order": f"random permutation, seed {seed}",
            "parts": f"{per_part} images each, the last may have fewer",
            "std": "n - 1",
            "input": "uint8",
            "resize": f"bilinear with antialias to {card['size']} pixels",
            "formula": "torchmetrics InceptionScore, in float64",
        },
        "protocol": protocol,
    }


def choose_classifier(
    classifier: str, source: Path, protocol: dict[str, Any] | None, files: list[Path]
) -> str:
    """The one asked for, or that of the world the images belong to.

    Raises:
        UserError: it knows nothing of such images.
    """
    if classifier in ("auto", "tiny") and protocol is not None:
        require_edition(str(source), world_of(protocol))
    if classifier == "auto":
        world = world_of_images(str(source), protocol, files, "--classifier inception")
        return "tiny" if world == TINY else "inception"
    if classifier == "tiny" and protocol is not None and world_of(protocol) != TINY:
        raise UserError(
            f"The images of {source} are not of the tiny world, and the classifier tiny knows its drawn shapes only: "
            "give --classifier inception."
        )
    return classifier


def _parts(images: int, per_part: int, seed: int) -> Tensor:
    """The part of each image: the drawn order is cut as `torch.chunk` cuts it."""
    order = torch.randperm(images, generator=torch_generator("inception", seed))
    part = torch.empty(images, dtype=torch.long)
    part[order] = torch.arange(images) // per_part
    return part


@contextlib.contextmanager
def _logits_folder(source: Path, shards: int) -> Iterator[Path]:
    """Where logits are kept: beside the images, or, where that cannot be written to, until the command ends."""
    if os.access(source, os.W_OK):
        yield source / LOGITS
    elif shards > 1:
        raise UserError(f"{source} cannot be written to: shards leave their logits there for each other.")
    else:
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)


@torch.inference_mode()
def _classify(
    store: LogitsStore, network: nn.Module, chunks: range, batch_size: int, device: str | torch.device
) -> None:
    """Compute and keep the logits of the chunks that are missing.

    Raises:
        UserError: images that cannot be read; the other chunks are done first.
    """
    bad: list[BadRow] = []
    todo = store.missing(chunks)
    total = sum(len(store.images(chunk)) for chunk in chunks)
    left = sum(len(store.images(chunk)) for chunk in todo)
    with progress("inception", total=total, start=total - left, unit="images") as advance, exact_float32():
        for chunk in todo:
            logits: list[Tensor] = []
            bad_here: dict[int, BadRow] = {}
            for _, images in decoded_batches(store.images(chunk), to_uint8, batch_size, bad_here):
                logits += [network(batch.to(device)).float().cpu() for batch in of_one_size(images)]
                advance(len(images))
            if bad_here:
                bad += bad_here.values()
            else:
                store.write(chunk, torch.cat(logits))
    if bad:
        raise UserError(f"{len(bad)} of {len(store.files)} images cannot be read, first {bad[0]}.")


def files_of(source: Path) -> list[Path]:
    """A sample's images in the order of its metadata, anybody's in the order of their names.

    Raises:
        UserError: there are none.
    """
    if not source.is_dir():
        raise UserError(f"{source} is no folder of images.")
    if protocol_of(source) is None:
        return image_files(source).pictures
    images = read_source([source])
    if images.bad:
        raise UserError(f"{source / METADATA} is damaged ({images.bad[0][1]}): sample the images again.")
    return [image.path for image in images.images]


def of_one_size(images: list[Tensor]) -> list[Tensor]:
    """Pictures as one batch, or, where their sizes differ, each alone: (N, 3, height, width)."""
    if len({image.shape for image in images}) == 1:
        return [torch.stack(images)]
    return [image[None] for image in images]


def to_uint8(image: Image.Image) -> Tensor:
    """The pixels of an RGB picture, (3, height, width)."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)
