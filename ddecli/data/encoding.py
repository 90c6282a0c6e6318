"""Pictures and prompts, each encoded once and appended to shards."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from ddecli.core.errors import BadRow, UserError, first_sentence, read_by_others
from ddecli.data.index import Encoded
from ddecli.data.pairs import NOT_FINITE
from ddecli.data.pictures import Picture
from ddecli.data.shards import EMBEDDINGS, LATENTS, ShardWriter
from ddecli.data.tables import TableWriter

if TYPE_CHECKING:
    from ddecli.models.base import DiffusionModel

IMAGES = pa.schema(
    [
        ("sha256", pa.string()),
        *((name, pa.int32()) for name in ("width", "height", "crop_top", "crop_left")),
        ("pixels", pa.binary()),
    ]
)
PROMPTS = pa.schema([("text", pa.string()), ("long", pa.bool_())])


class EncodedImages:
    """Pictures encoded into a folder: their latents in shards, their sizes in `images.parquet`."""

    def __init__(
        self, model: DiffusionModel, folder: Path, dtype: torch.dtype, batch_size: int, encoded: Encoded
    ) -> None:
        self.model, self.batch_size, self.encoded = model, batch_size, encoded
        self.writer = ShardWriter(folder, LATENTS, dtype)
        self.table = TableWriter(folder / "images.parquet", IMAGES)
        self.not_finite: list[bytes] = []  # pixel digests

    def add(self, pictures: Sequence[Picture]) -> None:
        """Encode the pictures that are new; each new one gets the next row.

        What is encoded together depends on the pictures and on what was encoded before, never on timing.
        """
        new: dict[bytes, Picture] = {}
        for picture in pictures:
            if picture.pixel_digest is None:  # known by its file, so it was not decoded
                continue
            if self.encoded.is_finite(picture.pixel_digest) is None:
                new.setdefault(picture.pixel_digest, picture)
        waiting = list(new.values())
        for start in range(0, len(waiting), self.batch_size):
            self._encode(waiting[start : start + self.batch_size])
        for picture in pictures:
            if picture.pixel_digest is not None:
                self.encoded.add_file(picture.digest, picture.pixel_digest)

    def pixels_of(self, picture: Picture) -> bytes:
        """Pixel digest of an added picture: its name in a part's tables.

        Raises:
            BadRow: its latent is not finite.
        """
        pixels = self.encoded.pixels_of(picture.digest)
        if not self.encoded.is_finite(pixels):
            raise BadRow(NOT_FINITE, f"picture with SHA-256 {picture.digest.hex()}")
        return pixels

    @torch.inference_mode()
    def _encode(self, pictures: list[Picture]) -> None:
        stack = np.stack([picture.pixels for picture in pictures if picture.pixels is not None])
        pixels = torch.from_numpy(stack).permute(0, 3, 1, 2).float() / 127.5 - 1
        try:
            latents = self.model.encode_images(pixels).to("cpu", self.writer.dtype)
        except torch.OutOfMemoryError as error:
            raise UserError(
                f"Too little memory on the device for --batch-size {self.batch_size}; halve it."
            ) from error
        except Exception as error:  # parts that do not fit together show when they run
            raise UserError(
                f"The autoencoder of {self.model.name} cannot encode pictures ({first_sentence(error).rstrip('.')}): "
                "fetch the model again."
            ) from error
        finite = latents.flatten(1).isfinite().all(dim=1)
        for picture, good in zip(pictures, finite.tolist(), strict=True):
            assert picture.pixel_digest is not None
            self.encoded.add_picture(picture.pixel_digest, good)
            if good:
                size = (picture.width, picture.height, picture.crop_top, picture.crop_left)
                self.table.add(picture.digest.hex(), *size, picture.pixel_digest)
            else:
                self.not_finite.append(picture.pixel_digest)
        if finite.any():
            self.writer.append({"latents": latents[finite]})


class EncodedPrompts:
    """Prompts encoded into a folder: their embeddings in shards, their texts in `prompts.parquet`."""

    def __init__(
        self, model: DiffusionModel, folder: Path, dtype: torch.dtype, batch_size: int, encoded: Encoded
    ) -> None:
        self.model, self.batch_size, self.encoded = model, batch_size, encoded
        self.writer = ShardWriter(folder, EMBEDDINGS, dtype)
        self.table = TableWriter(folder / "prompts.parquet", PROMPTS)

    def add(self, prompts: Iterable[str]) -> None:
        """Encode the prompts that are new; each new one gets the next row."""
        new = [prompt for prompt in dict.fromkeys(prompts) if not self.encoded.has_prompt(prompt)]
        for start in range(0, len(new), self.batch_size):
            some = new[start : start + self.batch_size]
            self.add_encoded(some, embed(self.model, some, self.writer.dtype))

    def add_encoded(self, prompts: Sequence[str], rows: dict[str, Tensor]) -> None:
        """Add new prompts whose embeddings are at hand."""
        self.writer.append(rows)
        for prompt, is_truncated in zip(prompts, self.model.truncated(prompts), strict=True):
            self.table.add(prompt, is_truncated)
            self.encoded.add_prompt(prompt)


@torch.inference_mode()
def embed(model: DiffusionModel, prompts: list[str], dtype: torch.dtype) -> dict[str, Tensor]:
    """Text embeddings as they are stored.

    Raises:
        UserError: they hold numbers that are not finite (nothing a row could cause), or the model is damaged.
    """
    with read_by_others(f"The text encoders of {model.name} cannot encode prompts", "fetch the model again"):
        rows = {key: value.to("cpu", dtype) for key, value in model.encode_prompts(prompts).items()}
    for key, value in rows.items():
        if not value.isfinite().all():
            raise UserError(f"The text encoder's {key} is not finite; try --latent-dtype float32.")
    return rows
