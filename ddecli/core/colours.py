"""From any of Pillow's modes to 8-bit sRGB, some rows at a time: in memory are the picture and its result."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image, ImageCms

PIXELS_AT_ONCE = 2**20
"""Pixels that are converted together: a whole picture up to 1024x1024."""
Box = tuple[int, int, int, int]
SCALES = (1.0, 255.0, 65535.0)
"""The largest numbers that stand for white in pictures of 32-bit numbers."""


def to_rgb(image: Image.Image) -> Image.Image:
    """A decoded picture as 8-bit sRGB.

    An embedded colour profile is followed, as browsers do; so is, as they do, one that is damaged or of other
    colours than the picture ignored. Transparent pixels are laid on white. 16-bit grey is scaled to 8 bits. Grey of
    32-bit numbers is taken for what its largest one fits: 0 to 1 (only fractions), 8 bits, or 16 bits.

    Raises:
        ValueError: 32-bit numbers that fit none of these.
    """
    convert = _conversion(image)
    if convert is None:
        return image
    result = Image.new("RGB", image.size)
    for box, strip in strips(image):
        result.paste(convert(strip), box)
    return result


def strips(image: Image.Image) -> Iterator[tuple[Box, Image.Image]]:
    """A picture from top to bottom, some rows at a time, with the place of each; a small one as it is."""
    rows = max(1, PIXELS_AT_ONCE // image.width)
    for top in range(0, image.height, rows):
        box = (0, top, image.width, min(top + rows, image.height))
        yield box, image if rows >= image.height else image.crop(box)


def _conversion(image: Image.Image) -> Callable[[Image.Image], Image.Image] | None:
    """What makes sRGB of some rows of a picture; None if they are."""
    if image.mode == "F" or image.mode.startswith("I"):
        scale = _white(image)
        return lambda strip: _with_profile(_grey(strip, scale), None)
    has_alpha = image.mode in ("RGBA", "LA", "PA", "RGBa") or "transparency" in image.info
    if has_alpha:
        colours = "L" if image.mode == "LA" else "RGB"
    elif image.mode in ("L", "CMYK", "LAB"):
        colours = image.mode
    else:
        colours = "L" if image.mode == "1" else "RGB"
    transform = _to_srgb(image.info.get("icc_profile"), colours)
    if has_alpha:
        return lambda strip: _on_white(strip, colours, transform)
    if image.mode == "RGB" and transform is None:
        return None
    return lambda strip: _with_profile(strip if strip.mode == colours else strip.convert(colours), transform)


def _on_white(strip: Image.Image, colours: str, transform: ImageCms.ImageCmsTransform | None) -> Image.Image:
    rgba = strip.convert("RGBA")
    if transform is not None:
        opaque = _with_profile(rgba.convert("RGB").convert(colours), transform)
        rgba = Image.merge("RGBA", (*opaque.split(), rgba.getchannel("A")))
    white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, rgba).convert("RGB")


def _with_profile(strip: Image.Image, transform: ImageCms.ImageCmsTransform | None) -> Image.Image:
    if transform is None:
        return strip.convert("RGB")
    converted = ImageCms.applyTransform(strip, transform)
    assert converted is not None  # it is not changed in place
    return converted


def _white(image: Image.Image) -> float:
    """The number that stands for white in grey of more than 8 bits."""
    if image.mode not in ("I", "F"):
        return SCALES[2]
    lowest, highest = map(float, image.getextrema())  # type: ignore[arg-type]
    scales = SCALES if image.mode == "F" else SCALES[1:]
    if lowest < 0 or not highest <= scales[-1]:
        raise ValueError(f"its numbers run from {lowest:g} to {highest:g}: save it with 8 or 16 bits")
    return next(scale for scale in scales if highest <= scale)


def _grey(strip: Image.Image, white: float) -> Image.Image:
    numbers = strip.convert("F")
    if strip.mode == "F" and not np.isfinite(np.asarray(numbers)).all():
        raise ValueError("some of its numbers are not finite")
    return numbers.point(lambda value: value * (255.0 / white) + 0.5).convert("L")


def _to_srgb(profile: bytes | None, colours: str) -> ImageCms.ImageCmsTransform | None:
    """From an embedded profile to sRGB; None if there is none to follow, or it changes colours by rounding alone."""
    if not profile and colours != "LAB":  # Lab is a colour space of its own, which Pillow does not convert
        return None
    srgb = ImageCms.createProfile("sRGB")
    try:
        given = ImageCms.ImageCmsProfile(io.BytesIO(profile) if profile else ImageCms.createProfile("LAB"))
        # The table that lcms makes of a profile by default is too coarse for dark grey in linear light.
        exact = ImageCms.Flags.NOOPTIMIZE if colours == "L" else ImageCms.Flags.NONE
        transform = ImageCms.buildTransform(given, srgb, colours, "RGB", flags=exact)
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
        return _to_srgb(None, colours)
    return None if colours in ("L", "RGB") and _changes_nothing(transform, colours) else transform


def _changes_nothing(transform: ImageCms.ImageCmsTransform, colours: str) -> bool:
    """Whether the colours stay as they are but for rounding, tried on a grid of them."""
    steps = np.arange(0, 256, 17, dtype=np.uint8)
    grid = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(len(steps), -1, 3)
    colour = Image.fromarray(grid if colours == "RGB" else np.arange(256, dtype=np.uint8)[None])
    after = np.asarray(_with_profile(colour, transform), dtype=int)
    return bool(np.abs(after - np.asarray(colour.convert("RGB"), dtype=int)).max() <= 1)
