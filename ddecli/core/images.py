"""Reading anybody's picture safely: every mode becomes upright RGB, or one clear reason why not."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from ddecli.core.errors import BadRow, UserError
from ddecli.core.paths import readable_file

MAX_PIXELS = 128_000_000
"""A picture with more pixels than this is refused before it is decoded (16,000 x 8,000)."""

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif"})


def load_image(source: Path | bytes) -> Image.Image:
    """Decode a picture whole, turn it upright (EXIF), and convert it to 8-bit RGB.

    Transparent pixels are laid on white; 16-bit grey is scaled to 8 bits; CMYK and palettes are converted;
    of an animation the first frame is taken.

    Args:
        source: a file's path, or a file's bytes.

    Raises:
        BadRow: missing, truncated, no picture at all, or larger than `MAX_PIXELS`.
    """
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    if isinstance(source, Path):
        readable_image(source)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
                width, height = image.size
                if width * height > MAX_PIXELS:
                    raise BadRow(
                        "image too large", f"{width}x{height} pixels, at most {MAX_PIXELS:,} are read"
                    )
                image.load()
                return _as_rgb(ImageOps.exif_transpose(image))
    except Image.DecompressionBombError as error:
        raise BadRow("image too large", str(error)) from error
    except (OSError, SyntaxError, ValueError, IndexError, EOFError) as error:
        name = "embedded bytes" if isinstance(source, bytes) else str(source)
        why = _no_picture(source) if isinstance(error, UnidentifiedImageError) else str(error)
        raise BadRow("unreadable image", f"{name} ({why})") from error


def readable_image(path: Path) -> Path:
    """The path of a picture, if it is a file that may be read.

    Raises:
        BadRow: it is missing, may not be read, or is a pipe or the like.
    """
    try:
        return readable_file(path)
    except UserError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            raise BadRow("missing image", str(path)) from error
        raise BadRow("unreadable image", str(error).rstrip(".")) from error


def _no_picture(source: Path | bytes) -> str:
    """What a file is that no decoder knows; Pillow's own words name a place in memory."""
    if isinstance(source, bytes):
        start = source[:512]
    else:
        with source.open("rb") as file:
            start = file.read(512)
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if not start:
        return "an empty file"
    return "an HTML page" if text.startswith((b"<!doctype html", b"<html", b"<head")) else "no picture"


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":  # 16- and 32-bit grey: Pillow would clip at 255
        grey: Any = image
        high = 65535.0 if image.mode != "F" else max(1.0, grey.getextrema()[1])
        return (
            image.convert("F").point(lambda value: value * (255.0 / high) + 0.5).convert("L").convert("RGB")
        )
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")
