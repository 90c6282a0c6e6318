"""Anybody's picture becomes upright RGB, or one reason why not."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ddecli.core import images
from ddecli.core.errors import BadRow
from ddecli.core.images import load_image

Image.init()


def as_bytes(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def test_16_bit_grey_is_scaled_not_clipped() -> None:
    values = np.array([[0, 32768, 65535]], np.uint16)
    loaded = np.asarray(load_image(as_bytes(Image.fromarray(values))))
    np.testing.assert_allclose(loaded[0, :, 0], [0, 128, 255], atol=1)


def test_transparent_pixels_lie_on_white() -> None:
    loaded = load_image(as_bytes(Image.new("RGBA", (2, 2), (255, 0, 0, 0))))
    assert loaded.getpixel((0, 0)) == (255, 255, 255)


def test_cmyk_and_palette_become_rgb() -> None:
    assert load_image(as_bytes(Image.new("CMYK", (4, 4), (0, 255, 255, 0)), "JPEG")).mode == "RGB"
    palette = Image.new("RGB", (4, 4), (0, 200, 0)).convert("P")
    assert load_image(as_bytes(palette)).getpixel((1, 1))[1] > 150


def test_a_rotated_photo_is_turned_upright() -> None:
    photo = Image.new("RGB", (8, 4), "white")
    photo.putpixel((0, 0), (0, 0, 0))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to see it upright
    loaded = load_image(as_bytes(photo, "PNG", exif=exif))
    assert loaded.size == (4, 8)
    assert loaded.getpixel((3, 0)) == (0, 0, 0)


@pytest.mark.parametrize("source", [b"<html>404</html>", b"", as_bytes(Image.new("RGB", (64, 64)))[:-40]])
def test_what_is_no_whole_picture_is_a_bad_row(source: bytes) -> None:
    with pytest.raises(BadRow, match="unreadable image"):
        load_image(source)


@pytest.mark.parametrize(
    ("source", "what"),
    [
        (b"\n<!DOCTYPE html><p>404", "an HTML page"),
        (b"", "an empty file"),
        (b"Not found", "no picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "PostScript, which is not read: save it as PNG or JPEG"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC, which is not read: save it as PNG or JPEG"),
    ],
)
def test_what_was_served_instead_of_a_picture(tmp_path: Path, source: bytes, what: str) -> None:
    (tmp_path / "a.jpg").write_bytes(source)
    for place, name in ((source, "embedded bytes"), (tmp_path / "a.jpg", str(tmp_path / "a.jpg"))):
        with pytest.raises(BadRow) as error:
            load_image(place)
        assert error.value.detail == f"{name} ({what})"


def test_missing_and_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadRow, match="missing image"):
        load_image(tmp_path / "none.png")
    monkeypatch.setattr(images, "MAX_PIXELS", 10)
    with pytest.raises(BadRow, match="image too large"):
        load_image(as_bytes(Image.new("RGB", (4, 4))))


def test_no_other_decoder_of_pillow_sees_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is replaced by one that takes every file."""
    seen = []
    for name in sorted(Image.OPEN.keys() - set(images.FORMATS)):
        monkeypatch.setitem(Image.OPEN, name, (lambda *given, name=name: seen.append(name), None))
    with pytest.raises(BadRow, match="unreadable image"):
        load_image(b"whatever it is")
    assert seen == []


def test_one_place_opens_pictures() -> None:
    package = Path(images.__file__).parents[1]
    places = [path.name for path in package.rglob("*.py") if "Image.open(" in path.read_text()]
    assert places == ["images.py"]


@pytest.mark.parametrize("mode", ["RGB", "L", "P"])
def test_a_flipped_bit_of_a_png_never_gives_another_picture(tmp_path: Path, mode: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    good = as_bytes(Image.fromarray(pixels).convert(mode))
    picture = np.asarray(load_image(good))
    refused = 0
    for place in range(3, 8 * len(good), 29):
        damaged = bytearray(good)
        damaged[place // 8] ^= 1 << place % 8
        (tmp_path / "a.png").write_bytes(damaged)
        for source in (bytes(damaged), tmp_path / "a.png"):
            try:
                found = np.asarray(load_image(source))
            except BadRow:
                refused += 1
            else:
                np.testing.assert_array_equal(found, picture)
    assert refused > 2 * 8 * len(good) / 29 * 0.9
