"""Pictures as people have them: of every kind, and broken. Each kind beside the same in plain 8-bit RGB."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from pair_data import picture, png
from PIL import Image


def as_file(image: Image.Image, kind: str, **options: object) -> bytes:
    """A picture as the bytes of a file of this kind."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def halves(upper: tuple[int, int, int], lower: tuple[int, int, int]) -> Image.Image:
    """A picture higher than wide, of two colours."""
    image = Image.new("RGB", (32, 64), upper)
    image.paste(lower, (0, 32, 32, 64))
    return image


def _rotated() -> bytes:
    """A photo taken with the camera on its side: its EXIF data say how to turn it."""
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to see it upright
    photo = halves(WHITE, BLACK).transpose(Image.Transpose.ROTATE_90)
    return as_file(photo, "JPEG", quality=100, subsampling=0, exif=exif)


def _half_transparent() -> bytes:
    image = Image.new("RGBA", (32, 64), (255, 0, 0, 0))
    image.paste((0, 0, 255, 255), (0, 32, 32, 64))
    return as_file(image, "PNG")


def _huge(side: int) -> bytes:
    """The first bytes of a PNG of `side` x `side` pixels: enough to know its size."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100))


WHITE, BLACK, RED, BLUE = (255, 255, 255), (0, 0, 0), (255, 0, 0), (0, 0, 255)
RAMP = np.arange(1024, dtype=np.uint16).reshape(32, 32) // 4
WIDE = Image.fromarray((np.arange(20_000 * 16).reshape(16, 20_000) // 1250).astype(np.uint8))

GOOD: dict[str, tuple[bytes, Image.Image]] = {
    "cmyk.jpg": (
        as_file(Image.new("CMYK", (40, 40), (0, 255, 255, 0)), "JPEG", quality=100),
        Image.new("RGB", (40, 40), RED),
    ),
    "16-bit.png": (as_file(Image.fromarray(RAMP * 257), "PNG"), Image.fromarray(RAMP.astype(np.uint8))),
    "palette.png": (as_file(picture(1).quantize(16), "PNG"), picture(1).quantize(16).convert("RGB")),
    "alpha.png": (_half_transparent(), halves(WHITE, BLUE)),
    "rotated.jpg": (_rotated(), halves(WHITE, BLACK)),
    "a-jpeg.png": (as_file(halves(BLACK, WHITE), "JPEG", quality=100), halves(BLACK, WHITE)),
    "wide.png": (as_file(WIDE, "PNG"), WIDE),
}
"""File name -> (bytes, the same pixels as RGB or grey)."""

TOO_SMALL = {"dot.png": (png(0, (1, 1)), "image too small")}
"""What training cannot use, but a scorer can."""

POSTSCRIPT = as_file(picture(0), "EPS")
"""What Pillow, if it is let, gives to the program `gs`."""

BROKEN: dict[str, tuple[bytes, str]] = {
    "cut.jpg": (as_file(picture(0, (64, 64)), "JPEG")[:-200], "unreadable image"),
    "page.jpg": (b"<html>404 Not Found</html>", "unreadable image"),
    "empty.png": (b"", "unreadable image"),
    "postscript.png": (POSTSCRIPT, "unreadable image"),
    "huge.png": (_huge(20_000), "image too large"),
}
"""File name -> (bytes, why nothing can read it)."""
