"""WebDataset tars as they should not be: of absurd sizes, out of order, with names that mean something else."""

from __future__ import annotations

import bz2
import gzip
import io
import re
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pair_data import png
from peak_memory import peak_memory

from ddecli.core import images
from ddecli.core.errors import UserError
from ddecli.data.pairs import Pair, Rejects
from ddecli.data.sources import tars
from ddecli.data.sources.registry import open_source

Files = list[tuple[str, bytes]]
MIB = 2**20


def sample(key: str, number: int = 0) -> Files:
    pictures = [(f"{key}.chosen.png", png(2 * number)), (f"{key}.rejected.png", png(2 * number + 1))]
    return [*pictures, (f"{key}.txt", b"a prompt")]


def write_tar(path: Path, files: Files, **options: Any) -> Path:
    with tarfile.open(path, "w", **options) as tar:
        for name, content in files:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def read(path: Path) -> tuple[list[Pair], Rejects]:
    rejects = Rejects()
    return [pair for part in open_source(path).parts for pair in part.read(rejects)], rejects


@pytest.mark.parametrize("large", [{"b.chosen.png": 9000}, {"b.chosen.png": 5000, "b.rejected.png": 5000}])
def test_a_sample_of_absurd_size_is_a_bad_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: dict[str, int]
) -> None:
    monkeypatch.setattr(images, "MAX_FILE_BYTES", 8000)
    small = [("b.txt", b"a prompt"), *((name, bytes(size)) for name, size in large.items())]
    pairs, rejects = read(write_tar(tmp_path / "x.tar", [*sample("a"), *small, *sample("c", 2)]))
    assert [pair.pair_id for pair in pairs] == ["x.tar:a", "x.tar:c"]
    assert rejects.counts == {"file too large": 1}


def test_what_is_skipped_costs_no_memory(tmp_path: Path) -> None:
    """A member of 120 MB where 100 are read, and one of 100 that no pair needs, packed into less than 1 MB."""

    class Zeros(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            return bytes(size)

    with (
        gzip.open(tmp_path / "x.tgz", "wb", compresslevel=1) as packed,
        tarfile.open(fileobj=packed, mode="w|") as tar,
    ):
        for name, size in (("a.chosen.png", 120 * MIB), ("b.npy", 100 * MIB)):
            member = tarfile.TarInfo(name)
            member.size = size
            tar.addfile(member, Zeros())
        for name, content in sample("c"):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    before = f"""
from pathlib import Path
from ddecli.core import images
from ddecli.data.pairs import Rejects
from ddecli.data.sources.registry import open_source
images.MAX_FILE_BYTES, rejects = {100 * MIB}, Rejects()
"""
    work = f"""
(part,) = open_source(Path({str(tmp_path / "x.tgz")!r})).parts
assert len(list(part.read(rejects))) == 1
assert dict(rejects.counts) == {{"file too large": 1}}
"""
    used = peak_memory(before, work)
    assert used < 64 * MIB


def sparse(path: Path) -> None:
    header = bytearray(tarfile.TarInfo("a.chosen.png").tobuf(tarfile.GNU_FORMAT))
    header[156:157] = tarfile.GNUTYPE_SPARSE
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    path.write_bytes(bytes(header) + bytes(1024))


def long_header(kind: bytes, path: Path) -> None:
    member = tarfile.TarInfo("x")
    member.type, member.size = kind, 3 * 2**30
    path.write_bytes(member.tobuf(tarfile.GNU_FORMAT) + bytes(1024))


def many_headers(path: Path) -> None:
    member = tarfile.TarInfo("x")
    member.type, member.size = tarfile.XGLTYPE, 20
    header = member.tobuf(tarfile.GNU_FORMAT) + b"20 comment=ab\n".ljust(512, b"\0")
    path.write_bytes(header * 3000 + bytes(1024))


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (sparse, "sparse file; pack it without --sparse"),
        (lambda path: long_header(tarfile.GNUTYPE_LONGNAME, path), "a header has 3,221,225,472 bytes"),
        (lambda path: long_header(tarfile.XHDTYPE, path), "a header has 3,221,225,472 bytes"),
        (lambda path: long_header(tarfile.XGLTYPE, path), "a header has 3,221,225,472 bytes"),
        (many_headers, "damaged"),
        (lambda path: path.write_bytes(bz2.compress(bytes(10**6))), "damaged"),
    ],
)
def test_headers_that_would_fill_the_memory(tmp_path: Path, make: Callable[[Path], Any], why: str) -> None:
    make(tmp_path / "x.tar")
    with pytest.raises(UserError, match=re.escape(why)):
        read(tmp_path / "x.tar")


def test_long_names_and_global_headers_are_read(tmp_path: Path) -> None:
    key = "a" * 150
    for kind in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        path = write_tar(tmp_path / "x.tar", sample(key), format=kind, pax_headers={"comment": "of git"})
        assert len(read(path)[0]) == 1


def test_members_are_not_remembered(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "x.tar", [(f"{number}.cls", b"1") for number in range(50)])
    with path.open("rb") as file:
        tar_files = tars.tar_files(file)
        next(tar_files)
        tar = tar_files.gi_frame.f_locals["tar"]  # type: ignore[attr-defined]
        assert len(list(tar_files)) == 49
    assert len(tar.members) <= 1


def test_keys_with_dots(tmp_path: Path) -> None:
    files = sample("data.v1/22.05") + sample("data.v1/22.06", 1)
    with pytest.raises(
        UserError, match=r"Sample data\.v1/22 has only 05\.chosen.* a key may hold no dot; rename"
    ):
        read(write_tar(tmp_path / "x.tar", files))
    pairs, rejects = read(write_tar(tmp_path / "x.tar", sample("data.v1/21") + files))
    assert len(pairs) == 1
    assert [bad["reason"] for bad in rejects.bad_rows] == ["incomplete sample"]
    assert "a key may hold no dot" in rejects.bad_rows[0]["detail"]


def test_members_that_do_not_stand_side_by_side(tmp_path: Path) -> None:
    files = sorted(sample("0") + sample("1", 1) + sample("2", 2), key=lambda file: file[0].partition(".")[2])
    with pytest.raises(
        UserError, match="Sample 2 has only prompt: its files must stand side by side .* --sort=name"
    ):
        read(write_tar(tmp_path / "x.tar", files))
    pairs, rejects = read(write_tar(tmp_path / "x.tar", sample("3", 3) + files))
    assert len(pairs) == 1
    assert rejects.counts == {"incomplete sample": 9}
    assert all("side by side" in bad["detail"] for bad in rejects.bad_rows)


@pytest.mark.parametrize("place", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("cut", [True, False])
def test_a_packed_tar_that_is_damaged(tmp_path: Path, place: float, cut: bool) -> None:
    files = [file for number in range(30) for file in sample(f"{number:02d}", number)]
    packed = bytearray(gzip.compress(write_tar(tmp_path / "x.tar", files).read_bytes()))
    at = int(place * len(packed))
    (tmp_path / "x.tgz").write_bytes(packed)
    assert len(read(tmp_path / "x.tgz")[0]) == 30
    packed[at : at + 40] = bytes(40)
    (tmp_path / "x.tgz").write_bytes(packed[:at] if cut else packed)
    with pytest.raises(UserError, match=r"x\.tgz is damaged behind sample"):
        read(tmp_path / "x.tgz")
