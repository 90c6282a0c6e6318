"""Every mode and colour profile becomes the sRGB that a person sees."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from ddecli.core import colours, images
from ddecli.core.errors import BadRow
from ddecli.core.images import load_image

ADOBE = (
    (0.6097559, 0.3111242, 0.0194811),
    (0.2052401, 0.6256560, 0.0608902),
    (0.1492240, 0.0632197, 0.7448387),
)
"""XYZ of the primaries of Adobe RGB (1998), adapted to D50, from its specification."""
SRGB = (
    (0.4360747, 0.2225045, 0.0139322),
    (0.3850649, 0.7168786, 0.0971045),
    (0.1430804, 0.0606169, 0.7141733),
)
"""The same of sRGB."""


def profile(primaries: tuple[tuple[float, ...], ...] | None, gamma: float) -> bytes:
    """A display's profile as ICC version 2 has it; of a grey one without primaries."""

    def xyz(values: tuple[float, ...]) -> bytes:
        return b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(65536 * value)) for value in values)

    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(256 * gamma)) + b"\0\0"
    tags = {b"wtpt": xyz((0.9642, 1.0, 0.8249))}
    if primaries is None:
        tags[b"kTRC"] = curve
    else:
        for name, values in zip((b"r", b"g", b"b"), primaries, strict=True):
            tags |= {name + b"XYZ": xyz(values), name + b"TRC": curve}
    place = 128 + 4 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        table += name + struct.pack(">II", place + len(body), len(content))
        body += content
    kind = b"GRAY" if primaries is None else b"RGB "
    header = struct.pack(">I4sI4s4s4s", place + len(body), b"\0\0\0\0", 0x02100000, b"mntr", kind, b"XYZ ")
    header += bytes(12) + b"acsp" + bytes(28) + struct.pack(">iii", 63190, 65536, 54061)  # D50
    return header.ljust(128, b"\0") + table + body


def seen(image: Image.Image, kind: str = "PNG", **options: Any) -> np.ndarray:
    """The pixels of a picture that was written and read, (height, width, 3) as integers."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return np.asarray(load_image(buffer.getvalue())).astype(int)


def encoded(linear: np.ndarray) -> np.ndarray:
    """Linear light to sRGB's numbers, as the standard writes it."""
    linear = linear.clip(0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


COLOURS = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)


def test_a_wide_gamut_is_converted_as_its_specification_has_it() -> None:
    light = (COLOURS / 255) ** (563 / 256)
    expected = encoded(light @ np.array(ADOBE) @ np.linalg.inv(SRGB))
    found = seen(Image.fromarray(COLOURS), icc_profile=profile(ADOBE, 563 / 256))
    inside = (expected > 0).all(-1) & (expected < 255).all(-1)
    assert inside.sum() > 100
    assert np.abs(found - expected)[inside].max() <= 2
    assert np.abs(found - COLOURS).max() > 20  # an unread profile would be seen


def test_linear_light_is_made_brighter() -> None:
    ramp = np.arange(256, dtype=np.uint8)[None]
    expected = encoded(np.arange(256) / 255)
    for picture, given in (
        (Image.fromarray(np.repeat(ramp[..., None], 3, -1)), profile(SRGB, 1.0)),
        (Image.fromarray(ramp), profile(None, 1.0)),
        (Image.fromarray(ramp).convert("LA"), profile(None, 1.0)),
        (Image.fromarray(ramp).convert("P"), profile(SRGB, 1.0)),
        (Image.fromarray(ramp).convert("RGBA"), profile(SRGB, 1.0)),
    ):
        found = seen(picture, icc_profile=given)
        assert np.abs(found - expected[None, :, None]).max() <= 2, picture.mode
    assert round(expected[128]) == 188


@pytest.mark.parametrize(
    "ignored",
    [
        b"no profile",
        b"",
        profile(SRGB, 1.0)[:200],
        profile(None, 1.0),  # of grey, in a picture of colours
        ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
    ],
)
def test_a_profile_that_says_nothing_leaves_every_number(ignored: bytes) -> None:
    np.testing.assert_array_equal(seen(Image.fromarray(COLOURS), icc_profile=ignored), COLOURS)


def test_transparency_stays_with_a_profile() -> None:
    picture = Image.fromarray(COLOURS).convert("RGBA")
    picture.putalpha(Image.new("L", (16, 16), 0))
    assert (seen(picture, icc_profile=profile(ADOBE, 2.2)) == 255).all()


def test_lab() -> None:
    """CIE L* of 53.39 without colour is the middle grey of sRGB, 127."""
    picture = Image.merge("LAB", [Image.new("L", (4, 4), value) for value in (round(53.39 * 2.55), 128, 128)])
    assert np.abs(np.asarray(colours.to_rgb(picture)).astype(int) - 127).max() <= 1


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        (np.array([[0, 200, 255]], np.int32), [0, 200, 255]),
        (np.array([[0, 257, 65535]], np.int32), [0, 1, 255]),
        (np.array([[0, 32896, 65535]], np.uint16), [0, 128, 255]),
        (np.array([[0, 100, 200]], np.uint16), [0, 0, 1]),
        (np.array([[0, 0.5, 1]], np.float32), [0, 128, 255]),
        (np.array([[0, 0.25, 0.5]], np.float32), [0, 64, 128]),
        (np.array([[0, 100, 200]], np.float32), [0, 100, 200]),
        (np.array([[0, 2570, 65535]], np.float32), [0, 10, 255]),
    ],
)
def test_grey_of_more_than_8_bits(numbers: np.ndarray, expected: list[int]) -> None:
    found = seen(Image.fromarray(numbers), "TIFF")
    assert found[0, :, 0].tolist() == expected
    assert (found == found[..., :1]).all()


@pytest.mark.parametrize(
    ("numbers", "why"),
    [
        (np.array([[0, 70_000]], np.int32), "run from 0 to 70000: save it with 8 or 16 bits"),
        (np.array([[-1, 200]], np.int32), "run from -1 to 200"),
        (np.array([[-1, 1]], np.float32), "run from -1 to 1"),
        (np.array([[0.5, np.nan]], np.float32), "not finite|run from"),
        (np.array([[0.5, np.inf]], np.float32), "run from 0.5 to inf"),
    ],
)
def test_numbers_that_are_no_picture(numbers: np.ndarray, why: str) -> None:
    with pytest.raises(BadRow, match=f"unreadable image.*{why}"):
        seen(Image.fromarray(numbers), "TIFF")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F"])
def test_strips_change_nothing(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = Image.fromarray(COLOURS if mode != "F" else (COLOURS[..., 0] / 255).astype(np.float32))
    picture = (
        picture if mode == "F" else picture.convert("L" if mode.startswith("I") else "RGB").convert(mode)
    )
    whole = np.asarray(colours.to_rgb(picture))
    monkeypatch.setattr(colours, "PIXELS_AT_ONCE", 48)
    np.testing.assert_array_equal(colours.to_rgb(picture), whole)


def test_one_large_picture_is_decoded_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two threads the second comes to its picture when the first has let go of its own."""
    import threading

    small, large = (io.BytesIO() for _ in range(2))
    Image.new("RGB", (8, 8)).save(small, "PNG")
    Image.new("RGB", (20, 20)).save(large, "PNG")
    monkeypatch.setattr(images, "LARGE", 100)
    seen: list[str] = []

    def second() -> None:
        with images.loaded_image(large.getvalue()):
            seen.append("second")

    other = threading.Thread(target=second)
    with images.loaded_image(large.getvalue()):
        other.start()
        other.join(0.2)
        load_image(small.getvalue())
        seen.append("first")
    other.join()
    assert seen == ["first", "second"]
