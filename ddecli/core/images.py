"""Reading anybody's picture safely: every mode becomes upright RGB, or one clear reason why not."""

from __future__ import annotations

import contextlib
import functools
import io
import threading
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from ddecli.core.colours import to_rgb
from ddecli.core.errors import BadRow, UserError
from ddecli.core.paths import readable_file

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
"""The formats that are read, as Pillow names them, and no others: some of its decoders start another program
(Ghostscript for EPS), and all of them look at a file's bytes, not at its name."""
SAVE_AS = "PNG or JPEG"
MAX_PIXELS = 128_000_000
"""A picture with more pixels than this is refused before it is decoded (16,000 x 8,000): it takes 4 bytes a pixel."""
LARGE = 16_000_000
"""Of pictures with more pixels than this (4000 x 4000) one is decoded at a time, whatever the number of threads."""
MAX_FILE_BYTES = 256 * 2**20
"""A file of more bytes is not read whole: photographs of `MAX_PIXELS` have some 50 MB as JPEG and 200 MB as PNG."""
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
BYTES_AT_ONCE = 2**20
"""Of a file that are held while its checksums are compared."""
_TURN = threading.Lock()


@contextlib.contextmanager
def open_image(source: Path | bytes) -> Iterator[Image.Image]:
    """Open a picture without decoding it: the one place where bytes of a user meet Pillow.

    Args:
        source: a file's path, or a file's bytes.

    Raises:
        BadRow: missing, no picture of the `FORMATS`, or larger than `MAX_PIXELS`; also for whatever the decoder
            says of damaged bytes while the block uses the picture.
    """
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    if isinstance(source, Path):
        readable_image(source)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            file = io.BytesIO(source) if isinstance(source, bytes) else source
            with Image.open(file, formats=_known_formats()) as image:
                width, height = image.size
                if width * height > MAX_PIXELS:
                    raise BadRow(
                        "image too large", f"{width}x{height} pixels, at most {MAX_PIXELS:,} are read"
                    )
                yield image
    except (BadRow, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise BadRow("image too large", str(error)) from error
    except Exception as error:  # of damaged bytes decoders raise nearly everything
        name = "embedded bytes" if isinstance(source, bytes) else str(source)
        why = _no_picture(source) if isinstance(error, UnidentifiedImageError) else str(error)
        raise BadRow("unreadable image", f"{name} ({why})") from error


@contextlib.contextmanager
def loaded_image(source: Path | bytes) -> Iterator[Image.Image]:
    """What `load_image` gives, for as long as the block lasts; large pictures take turns, so that one is in memory.

    Raises:
        BadRow: as `load_image`; what the block raises goes on as it is.
    """
    with contextlib.ExitStack() as turn:
        with open_image(source) as image:
            if image.format == "PNG" and not _sums_agree(getattr(image, "fp", None)):
                _check_sums(source)
            if image.width * image.height > LARGE:
                turn.enter_context(_TURN)
            image.load()
            ImageOps.exif_transpose(image, in_place=True)
            rgb = to_rgb(image)
        del image
        yield rgb


def _sums_agree(file: IO[bytes] | None) -> bool:
    """Whether all checksums of a PNG agree with what they are of; the decoder leaves those of the pixels alone.

    Args:
        file: the picture's, which is left where it stood.
    """
    if file is None:
        return False
    stood = file.tell()
    try:
        file.seek(len(PNG_SIGNATURE))
        while True:
            head = file.read(8)
            if len(head) < 8:
                return False
            found, left = zlib.crc32(head[4:]), int.from_bytes(head[:4])
            while left > 0:
                some = file.read(min(left, BYTES_AT_ONCE))
                if not some:
                    return False
                found, left = zlib.crc32(some, found), left - len(some)
            if found != int.from_bytes(file.read(4)):
                return False
            if head[4:] == b"IEND":
                return True
    finally:
        file.seek(stood)


def _check_sums(source: Path | bytes) -> None:
    """Have Pillow say what is wrong with a PNG's checksums: damaged pixels would pass for others.

    Raises:
        SyntaxError: one is wrong.
    """
    with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=("PNG",)) as image:
        image.verify()


def load_image(source: Path | bytes) -> Image.Image:
    """Decode a picture whole, turn it upright (EXIF), and convert it to 8-bit sRGB (see `to_rgb`).

    Of an animation the first frame is taken. In memory are at most the decoded picture and the converted one, 4
    bytes a pixel each: 1 GB for a picture of `MAX_PIXELS`, half of it for one that is RGB already.

    Args:
        source: a file's path, or a file's bytes.

    Raises:
        BadRow: missing, truncated, no picture of the `FORMATS`, or larger than `MAX_PIXELS`.
    """
    with loaded_image(source) as image:
        return image


@functools.cache
def image_suffixes() -> frozenset[str]:
    """Endings of the files that are taken for pictures, in lower case: those that Pillow has for the `FORMATS`."""
    names = {*_known_formats(), "MPO"}  # several JPEGs in a file: the decoder of JPEG reads the first
    return frozenset(ending for ending, name in Image.registered_extensions().items() if name in names)


@functools.cache
def _known_formats() -> tuple[str, ...]:
    """Those of the `FORMATS` that this build of Pillow reads."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def readable_image(path: Path) -> Path:
    """The path of a picture, if it is a file that may be read.

    Raises:
        BadRow: it is missing, may not be read, is a pipe or the like, or is larger than `MAX_FILE_BYTES`.
    """
    try:
        check_bytes(readable_file(path).stat().st_size, str(path))
        return path
    except UserError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            raise BadRow("missing image", str(path)) from error
        raise BadRow("unreadable image", str(error).rstrip(".")) from error


def check_bytes(size: int, name: str) -> None:
    """Refuse a picture's file, or what should be one, by its size.

    Raises:
        BadRow: it is larger than `MAX_FILE_BYTES`.
    """
    if size > MAX_FILE_BYTES:
        raise BadRow("file too large", f"{name}: {size:,} bytes, at most {MAX_FILE_BYTES:,} are read")


def _no_picture(source: Path | bytes) -> str:
    """What a file is that none of the `FORMATS` is; Pillow's own words name a place in memory."""
    if isinstance(source, bytes):
        start = source[:512]
    else:
        with source.open("rb") as file:
            start = file.read(512)
    if not start:
        return "an empty file"
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for beginnings, name in _OTHERS.items():
        if start.startswith(beginnings) or text.startswith(beginnings):
            return name
    if start[4:8] == b"ftyp" and start[8:12] in _HEIC_BRANDS:
        return f"HEIC, which is not read: save it as {SAVE_AS}"
    return "no picture"


_OTHERS: dict[tuple[bytes, ...], str] = {
    (b"<!doctype html", b"<html", b"<head"): "an HTML page",
    (b"%!ps", b"\xc5\xd0\xd3\xc6"): f"PostScript, which is not read: save it as {SAVE_AS}",
    (b"%pdf",): f"PDF, which is not read: save it as {SAVE_AS}",
    (b"\xff\x0a", b"\0\0\0\x0cJXL "): f"JPEG XL, which is not read: save it as {SAVE_AS}",
}
"""What people take for pictures, by how it begins, letters in lower case."""
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
