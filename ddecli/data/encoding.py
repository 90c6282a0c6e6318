"""Pictures and prompts, each encoded once and appended to the store's shards."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import torch

from ddecli.core.errors import BadRow, UserError
from ddecli.data.pictures import Picture
from ddecli.data.shards import EMBEDDINGS, LATENTS, ShardWriter

if TYPE_CHECKING:
    from ddecli.models.base import DiffusionModel


class EncodedImages:
    """The store's pictures: an index by their bytes and by their pixels, and their latents in shards."""

    def __init__(self, model: DiffusionModel, folder: Path, dtype: torch.dtype, batch_size: int) -> None:
        self.model, self.batch_size = model, batch_size
        self.writer = ShardWriter(folder, LATENTS, dtype)
        self.known: dict[bytes, int | None] = {}  # digest of the bytes -> index, None if it cannot be encoded
        self._by_pixels: dict[bytes, int | None] = {}
        self._digests: list[str] = []
        self._sizes: list[tuple[int, int, int, int]] = []

    @torch.inference_mode()
    def add(self, pictures: Sequence[Picture]) -> None:
        """Encode the pictures that are new; each new one gets the next index."""
        new: dict[bytes, Picture] = {}
        for picture in pictures:
            if picture.pixel_digest is None:  # known by its bytes, so it was not decoded
                continue
            if picture.pixel_digest not in self._by_pixels:
                new.setdefault(picture.pixel_digest, picture)
        waiting = list(new.values())
        for start in range(0, len(waiting), self.batch_size):
            self._encode(waiting[start : start + self.batch_size])
        for picture in pictures:
            if picture.pixel_digest is not None:
                self.known[picture.digest] = self._by_pixels[picture.pixel_digest]

    def index(self, picture: Picture) -> int:
        """Index of an added picture.

        Raises:
            BadRow: its latent is not finite.
        """
        index = self.known[picture.digest]
        if index is None:
            raise BadRow("latent not finite", f"picture with SHA-256 {picture.digest.hex()}")
        return index

    def table(self) -> pa.Table:
        """One row a picture, in the order of the latents."""
        width, height, crop_top, crop_left = zip(*self._sizes, strict=True)
        columns = {"width": width, "height": height, "crop_top": crop_top, "crop_left": crop_left}
        return pa.table(
            {"sha256": pa.array(self._digests, pa.string())}
            | {name: pa.array(values, pa.int32()) for name, values in columns.items()}
        )

    @property
    def upscaled(self) -> int:
        """Pictures whose shorter side is smaller than the model's resolution."""
        return sum(min(width, height) < self.model.resolution for width, height, _, _ in self._sizes)

    def _encode(self, pictures: list[Picture]) -> None:
        stack = np.stack([picture.pixels for picture in pictures if picture.pixels is not None])
        pixels = torch.from_numpy(stack).permute(0, 3, 1, 2).float() / 127.5 - 1
        try:
            latents = self.model.encode_images(pixels).to("cpu", self.writer.dtype)
        except torch.OutOfMemoryError as error:
            raise UserError(
                f"Too little memory on the device for --batch-size {self.batch_size}; halve it."
            ) from error
        finite = latents.flatten(1).isfinite().all(dim=1)
        for picture, good in zip(pictures, finite.tolist(), strict=True):
            assert picture.pixel_digest is not None
            self._by_pixels[picture.pixel_digest] = len(self._digests) if good else None
            if good:
                self._digests.append(picture.digest.hex())
                self._sizes.append((picture.width, picture.height, picture.crop_top, picture.crop_left))
        if finite.any():
            self.writer.append({"latents": latents[finite]})


class EncodedPrompts:
    """The store's prompts and their embeddings in shards; prompt 0 is the empty one."""

    def __init__(self, model: DiffusionModel, folder: Path, dtype: torch.dtype, batch_size: int) -> None:
        self.model, self.batch_size = model, batch_size
        self.writer = ShardWriter(folder, EMBEDDINGS, dtype)
        self.known: dict[str, int] = {}
        self.long = 0  # prompts that are cut
        self.add([""])

    @torch.inference_mode()
    def add(self, prompts: Iterable[str]) -> None:
        """Encode the prompts that are new; each new one gets the next index.

        Raises:
            UserError: the text encoder gives numbers that are not finite (nothing a row could cause).
        """
        new = [prompt for prompt in dict.fromkeys(prompts) if prompt not in self.known]
        for start in range(0, len(new), self.batch_size):
            some = new[start : start + self.batch_size]
            embeddings = self.model.encode_prompts(some)
            rows = {key: value.to("cpu", self.writer.dtype) for key, value in embeddings.items()}
            for key, value in rows.items():
                if not value.isfinite().all():
                    raise UserError(f"The text encoder's {key} is not finite; try --latent-dtype float32.")
            self.writer.append(rows)
            self.long += sum(count > self.model.max_tokens for count in self.model.token_counts(some))
            for prompt in some:
                self.known[prompt] = len(self.known)

    def table(self) -> pa.Table:
        """One row a prompt, in the order of the embeddings."""
        return pa.table({"text": pa.array(self.known, pa.string())})
