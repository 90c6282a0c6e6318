"""Pictures and prompts, each encoded once and appended to shards."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from ddecli.core.errors import UserError, first_sentence, read_by_others
from ddecli.data.index import Encoded
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
    """Pictures encoded into a folder: their latents in shards, their sizes in `images.parquet`.

    A picture waits until a batch of new ones is together: what is encoded together depends on the pictures and on what
    was encoded before, never on timing.
    """

    def __init__(
        self, model: DiffusionModel, folder: Path, dtype: torch.dtype, batch_size: int, encoded: Encoded
    ) -> None:
        self.model, self.batch_size, self.encoded = model, batch_size, encoded
        self.writer = ShardWriter(folder, LATENTS, dtype)
        self.table = TableWriter(folder / "images.parquet", IMAGES)
        self.not_finite: list[bytes] = []  # pixel digests
        self._waiting: dict[bytes, Picture] = {}

    def add(self, picture: Picture) -> bytes:
        """Encode a picture if it is new, at the latest with the next `encode`; each new one gets the next row.

        Returns:
            Its pixel digest: its name in a part's tables.
        """
        pixels = picture.pixel_digest
        if pixels is None:  # known by its file, so it was not decoded
            return self.encoded.pixels_of(picture.digest)
        self.encoded.add_file(picture.digest, pixels)
        if pixels not in self._waiting and self.encoded.is_finite(pixels) is None:
            if picture.for_scorer is not None:  # it was scored; that takes more memory
                picture = replace(picture, for_scorer=None)
            self._waiting[pixels] = picture
            if len(self._waiting) == self.batch_size:
                self.encode()
        return pixels

    def encode(self) -> None:
        """Encode the pictures that wait."""
        waiting, self._waiting = list(self._waiting.values()), {}
        if waiting:
            self._encode(waiting)

    def close(self) -> None:
        """Finish the files."""
        self.encode()
        self.table.close()
        self.writer.close()

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
    """Prompts encoded into a folder, in batches of new ones: embeddings in shards, texts in `prompts.parquet`."""

    def __init__(
        self, model: DiffusionModel, folder: Path, dtype: torch.dtype, batch_size: int, encoded: Encoded
    ) -> None:
        self.model, self.batch_size, self.encoded = model, batch_size, encoded
        self.writer = ShardWriter(folder, EMBEDDINGS, dtype)
        self.table = TableWriter(folder / "prompts.parquet", PROMPTS)
        self._waiting: list[str] = []

    def add(self, prompt: str) -> None:
        """Encode a prompt if it is new, at the latest in the end; each new one gets the next row."""
        if self.encoded.add_prompt(prompt):
            self._waiting.append(prompt)
            if len(self._waiting) == self.batch_size:
                self._encode()

    def add_encoded(self, prompt: str, rows: dict[str, Tensor]) -> None:
        """Add a prompt whose embedding is at hand, unless it is known."""
        if self.encoded.add_prompt(prompt):
            self._append([prompt], rows)

    def close(self) -> None:
        """Finish the files."""
        if self._waiting:
            self._encode()
        self.table.close()
        self.writer.close()

    def _encode(self) -> None:
        prompts, self._waiting = self._waiting, []
        self._append(prompts, embed(self.model, prompts, self.writer.dtype))

    def _append(self, prompts: list[str], rows: dict[str, Tensor]) -> None:
        self.writer.append(rows)
        for prompt, is_truncated in zip(prompts, self.model.truncated(prompts), strict=True):
            self.table.add(prompt, is_truncated)


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
