"""Logits of a folder's images in files of 500 images each: what the shards of an Inception Score leave.

A file names the classifier and the SHA-256 of its images and of its logits; one that does not fit what is asked for, or
has changed since, counts as missing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ddecli.core.errors import NotPermitted, UserError
from ddecli.core.files import atomic_file, sha256_file, sha256_text
from ddecli.core.paths import readable_file

DIGEST = "logits_sha256"
CHUNK = 500
"""Images a file: of 50,000 images with 1008 logits each, a hundred files of 2 MB."""


class LogitsStore:
    """Chunk `i` holds the logits, (n, classes) float32, of files `i * CHUNK` to `(i + 1) * CHUNK`."""

    def __init__(self, folder: Path, files: list[Path], card: dict[str, Any]) -> None:
        self.folder = folder
        self.files = files
        self.card = card
        self.chunks = range((len(files) + CHUNK - 1) // CHUNK)
        self._about: dict[int, dict[str, str]] = {}

    def images(self, chunk: int) -> list[Path]:
        """The image files of a chunk."""
        return self.files[chunk * CHUNK : (chunk + 1) * CHUNK]

    def missing(self, chunks: range) -> list[int]:
        """Those of the chunks whose logits are not here, or are of other images or another classifier."""
        return [chunk for chunk in chunks if not self._fits(chunk)]

    def write(self, chunk: int, logits: Tensor) -> None:
        """Keep the logits of a chunk."""
        with atomic_file(self._file(chunk)) as temporary:
            about = self._expected(chunk) | {DIGEST: _digest(logits)}
            save_file({"logits": logits.contiguous()}, temporary, metadata=about)

    def read(self) -> Iterator[Tensor]:
        """The logits of every chunk in turn; none may be missing."""
        for chunk in self.chunks:
            with safe_open(self._file(chunk), framework="pt") as file:
                yield file.get_tensor("logits")

    def _file(self, chunk: int) -> Path:
        return self.folder / f"{chunk:05d}.safetensors"

    def _fits(self, chunk: int) -> bool:
        if not self._file(chunk).is_file():
            return False
        try:
            with safe_open(readable_file(self._file(chunk)), framework="pt") as file:
                about, logits = dict(file.metadata() or {}), file.get_tensor("logits")
        except NotPermitted:
            raise
        except (SafetensorError, OSError, UserError):
            return False
        digest = about.pop(DIGEST, None)  # none in those of earlier versions
        is_whole = logits.ndim == 2 and len(logits) == len(self.images(chunk))
        return is_whole and about == self._expected(chunk) and digest in (None, _digest(logits))

    def _expected(self, chunk: int) -> dict[str, str]:
        """What the chunk's file must say about itself; the images are read for it once."""
        if chunk not in self._about:
            images = self.images(chunk)
            with ThreadPoolExecutor() as pool:
                digests = list(pool.map(_sha256_or_none, images))
            lines = (f"{file.name} {digest}\n" for file, digest in zip(images, digests, strict=True))
            card = json.dumps(self.card, sort_keys=True)
            self._about[chunk] = {"classifier": card, "images_sha256": sha256_text("".join(lines))}
        return self._about[chunk]


def _digest(logits: Tensor) -> str:
    return hashlib.sha256(logits.contiguous().numpy().data).hexdigest()


def _sha256_or_none(file: Path) -> str | None:
    """None for a file that cannot be read: the classifier will say so."""
    try:
        return sha256_file(file)
    except UserError:
        return None


@torch.no_grad()
def split_scores(logits: Iterator[Tensor], part: Tensor) -> Tensor:
    """Inception Score of each part: exp of the mean of KL(p(y|x), p(y)) over its images.

    The mean of the divergences is the mean of sum p log p less the sum of m log m, with m the mean of p: so sums are
    kept and no image's logits, and memory does not grow with the number of images.

    Args:
        logits: (n, classes) float32 at a time, in the order of `part`.
        part: (N,) long, the part of each image, 0 to parts - 1, none of them empty.

    Returns:
        (parts,) float64.
    """
    parts = int(part.max()) + 1
    counts = torch.bincount(part, minlength=parts).double()
    negative_entropy = torch.zeros(parts, dtype=torch.float64)
    probability: Tensor | None = None
    start = 0
    for chunk in logits:
        log_p = chunk.double().log_softmax(1)
        p = log_p.exp()
        where = part[start : start + len(chunk)]
        start += len(chunk)
        if probability is None:
            probability = torch.zeros(parts, chunk.shape[1], dtype=torch.float64)
        probability.index_add_(0, where, p)
        negative_entropy.index_add_(0, where, (p * log_p).sum(1))
    if probability is None or start != len(part):
        raise ValueError(f"{start} rows of logits for {len(part)} images")
    marginal = probability / counts[:, None]
    return (negative_entropy / counts - torch.xlogy(marginal, marginal).sum(1)).exp()
