"""What somebody's files may cost in memory is bounded, whatever they say of themselves."""

from __future__ import annotations

from pathlib import Path

import pytest
from peak_memory import peak_memory
from PIL import Image

MIB = 2**20
SIDE = 4500


@pytest.mark.parametrize(
    ("mode", "kind", "most"), [("RGB", "PNG", 4), ("RGBA", "PNG", 8), ("RGB", "JPEG", 4)]
)
def test_a_large_picture_costs_little_more_than_its_pixels(
    tmp_path: Path, mode: str, kind: str, most: int
) -> None:
    """`most`: bytes a pixel; Pillow holds 4 of a decoded picture, and 4 of what it is converted to."""
    Image.new(mode, (SIDE, SIDE), "teal").save(tmp_path / "picture", kind, compress_level=1)
    before = "from pathlib import Path\nfrom ddecli.data.pictures import read_picture"
    used = peak_memory(before, f"read_picture(Path({str(tmp_path / 'picture')!r}), 64)")
    assert SIDE * SIDE * most < used < SIDE * SIDE * (most + 1) + 32 * MIB
