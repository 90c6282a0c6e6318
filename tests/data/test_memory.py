"""What somebody's files may cost in memory is bounded, whatever they say of themselves."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from peak_memory import peak_memory
from PIL import Image

from ddecli.core import images
from ddecli.core.errors import BadRow
from ddecli.data import read_ahead
from ddecli.data.pairs import Pair, read_image_bytes

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


def test_a_value_that_every_row_of_a_table_has(tmp_path: Path) -> None:
    """Of 32 rows with one picture of 40 MB a file of some kilobytes: as many are decoded together as fit."""
    large = pa.DictionaryArray.from_arrays(np.zeros(32, np.int32), pa.array([bytes(40 * MIB)]))
    table = pa.table({"prompt": ["a"] * 32, "chosen": large, "rejected": [b"x"] * 32})
    pq.write_table(table, tmp_path / "x.parquet", compression="zstd", dictionary_pagesize_limit=2**30)
    assert (tmp_path / "x.parquet").stat().st_size < 20_000
    before = "from pathlib import Path\nfrom ddecli.data.pairs import Rejects\n"
    before += "from ddecli.data.sources.registry import open_source"
    work = f"(part,) = open_source(Path({str(tmp_path / 'x.parquet')!r})).parts\n"
    work += "assert sum(len(pair.chosen) for pair in part.read(Rejects())) == 32 * 40 * 2**20"
    assert peak_memory(before, work) < 900 * MIB


def test_a_file_too_large_for_a_picture_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "a.png").open("wb") as file:
        file.truncate(2**40)  # a terabyte, none of it on the disk
    for read in (images.load_image, read_image_bytes):
        with pytest.raises(
            BadRow, match="file too large: .*: 1,099,511,627,776 bytes, at most 268,435,456 are read"
        ):
            read(tmp_path / "a.png")
    monkeypatch.setattr(images, "MAX_FILE_BYTES", 3)
    with pytest.raises(BadRow, match="file too large: embedded bytes"):
        read_image_bytes(b"abcd")


def test_reading_ahead_waits_for_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    """By bytes as by pairs, and in the same chunks whatever the timing."""
    monkeypatch.setattr(read_ahead, "BYTES_AHEAD", 3000)
    monkeypatch.setattr(read_ahead, "CHUNK_BYTES", 800)
    read: list[int] = []
    decoded: list[int] = []
    most = 0

    def source() -> Iterator[Pair]:
        for number in range(60):
            read.append(number)
            yield Pair("a", bytes(300), bytes(100), str(number), "test")

    def decode(pair: Pair) -> int:
        nonlocal most
        most = max(most, 400 * (len(read) - len(decoded)))
        time.sleep(0.002)
        decoded.append(int(pair.pair_id))
        return int(pair.pair_id)

    chunks = list(read_ahead.read_ahead(source(), 4, decode, 2))
    assert chunks == [[number, number + 1] for number in range(0, 60, 2)]
    assert most <= 3000 + 800 + 400
    monkeypatch.setattr(read_ahead, "BYTES_AHEAD", 1)
    assert len(list(read_ahead.read_ahead(source(), 4, decode, 2))) == 30
    with pytest.raises(ZeroDivisionError):  # and who waits is let go when something fails
        list(read_ahead.read_ahead(source(), 4, lambda pair: 1 // 0, 1))
