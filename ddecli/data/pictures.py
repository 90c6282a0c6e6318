"""From a picture's file to the square of pixels the autoencoder takes."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
from PIL import Image

from ddecli.core.colours import strips
from ddecli.core.errors import BadRow
from ddecli.core.images import loaded_image
from ddecli.data.pairs import ImageRef, read_image_bytes

MIN_SIDE = 8
"""Shortest side in pixels: a smaller picture is less than one of Stable Diffusion's latents."""


@dataclass(frozen=True)
class Picture:
    """A picture, resized and cropped; if it was known already, only `digest` is set."""

    digest: bytes  # SHA-256 of the file's bytes
    pixel_digest: bytes | None = None  # SHA-256 of the decoded picture: the same for a PNG written twice
    pixels: np.ndarray | None = None  # (resolution, resolution, 3) uint8
    width: int = 0  # original, upright
    height: int = 0
    crop_top: int = 0  # in the resized picture
    crop_left: int = 0
    for_scorer: Any = None  # what a scorer needs of the whole picture, if one is asked


class InMemory:
    """Pictures that somebody still holds, by their files' digests: none is decoded twice at a time, by any thread."""

    def __init__(self) -> None:
        self._pictures: WeakValueDictionary[bytes, Picture] = WeakValueDictionary()
        self._locks = [threading.Lock() for _ in range(256)]

    def get(self, digest: bytes, decode: Callable[[], Picture]) -> Picture:
        """A picture, decoded if it is not there."""
        with self._locks[digest[0]]:  # who needs the same picture waits, and few others
            found = self._pictures.get(digest)
            if found is None:
                found = self._pictures[digest] = decode()
            return found


def read_picture(
    image: ImageRef,
    resolution: int,
    known: Container[bytes] = (),
    for_scorer: Callable[[Image.Image], Any] | None = None,
    in_memory: InMemory | None = None,
) -> Picture:
    """Read, decode and crop a picture, unless its bytes are `known`.

    The largest centred square is resized to `resolution` x `resolution` pixels (Lanczos): the same as
    resizing the shorter side to `resolution` and cropping the centre.

    Args:
        image: the picture's file or bytes.
        resolution: the model's, in pixels.
        known: SHA-256 digests of the files already encoded; those are not decoded again.
        for_scorer: makes of the whole picture what a scorer needs of it.
        in_memory: pictures read with the same resolution and scorer, this one among them after it.

    Raises:
        BadRow: missing, unreadable, too large or too small.
    """
    content = read_image_bytes(image)
    digest = hashlib.sha256(content).digest()
    if digest in known:
        return Picture(digest)

    def decode() -> Picture:
        return _decode(content, digest, resolution, for_scorer)

    return decode() if in_memory is None else in_memory.get(digest, decode)


def _decode(
    content: bytes, digest: bytes, resolution: int, for_scorer: Callable[[Image.Image], Any] | None
) -> Picture:
    with loaded_image(content) as picture:
        width, height = picture.size
        side = min(width, height)
        if side < MIN_SIDE:
            raise BadRow("image too small", f"{width}x{height} pixels, the shorter side needs {MIN_SIDE}")
        left, top = (width - side) / 2, (height - side) / 2
        wanted = (resolution, resolution)
        if picture.size == wanted:
            square = picture
        else:
            box = (left, top, left + side, top + side)
            square = picture.resize(wanted, Image.Resampling.LANCZOS, box=box)
        pixels = np.asarray(square)
        return Picture(
            digest=digest,
            pixel_digest=_pixel_digest(picture, pixels if square is picture else None),
            pixels=pixels,
            width=width,
            height=height,
            crop_top=int(top * resolution / side),
            crop_left=int(left * resolution / side),
            for_scorer=for_scorer(picture) if for_scorer else None,
        )


def _pixel_digest(picture: Image.Image, pixels: np.ndarray | None) -> bytes:
    """SHA-256 of a picture's size and pixels, which may be at hand (height, width, 3)."""
    digest = hashlib.sha256(f"{picture.width}x{picture.height}".encode())
    if pixels is not None:
        digest.update(pixels.data)
        return digest.digest()
    for _, strip in strips(picture):
        digest.update(strip.tobytes())
    return digest.digest()
