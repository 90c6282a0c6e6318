"""What is no file is neither read nor replaced. No test touches a device: a pipe stands for all of them."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from somebody_else import locked

from ddecli.core.errors import BadRow, NotPermitted, UserError
from ddecli.core.files import atomic_file, atomic_folder, make_folder, read_json, read_yaml, sha256_file
from ddecli.core.images import load_image
from ddecli.core.paths import check_readable, readable_file, replaceable
from ddecli.data.pairs import read_image_bytes


def pipe(path: Path) -> str:
    os.mkfifo(path)
    return "a pipe"


def loop(path: Path) -> str:
    path.symlink_to(path.name)
    return "Too many levels of symbolic links"


def link_to_a_pipe(path: Path) -> str:
    path.symlink_to(path.name + "-itself")
    return pipe(path.with_name(path.name + "-itself"))


def plug(path: Path) -> str:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))
    return "a socket"


ODD = [pipe, loop, link_to_a_pipe, plug]


def lies(folder: Path) -> dict[str, tuple[int, int]]:
    """Kind and number of what lies in a folder: it changes when something is replaced."""
    return {path.name: (stat.S_IFMT(path.lstat().st_mode), path.lstat().st_ino) for path in folder.iterdir()}


@pytest.fixture
def scratch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.chdir(tmp_path)  # the name of a socket must be short
    return Path()


@pytest.mark.parametrize("make", ODD)
@pytest.mark.parametrize("write", [atomic_file, atomic_folder])
def test_what_is_no_file_is_not_replaced(
    scratch: Path, make: Callable[[Path], str], write: Callable[[Path], Any]
) -> None:
    said = make(scratch / "out")
    before = lies(scratch)
    with pytest.raises(UserError, match=f"Cannot write out: .*{said}"), write(scratch / "out"):
        pytest.fail("the work is not begun")
    assert lies(scratch) == before


@pytest.mark.parametrize("make", ODD)
def test_what_is_no_folder_is_not_written_into(scratch: Path, make: Callable[[Path], str]) -> None:
    said = make(scratch / "out")
    with pytest.raises(UserError, match=f"Cannot write out: .*{said}.* Choose another --out"):
        make_folder(scratch / "out")


def test_a_folder_is_not_replaced_by_a_file_nor_a_file_by_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match="it is a folder, not a file"), atomic_file(tmp_path / "folder"):
        pass
    with pytest.raises(UserError, match="it is a file, not a folder"), atomic_folder(tmp_path / "file"):
        pass
    assert (tmp_path / "file").read_text() == "mine" and (tmp_path / "folder").is_dir()


def test_links_are_followed_and_stay(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    (disk / "file").write_text("old")
    (disk / "folder").mkdir()
    for name in ("file", "folder", "new"):
        (tmp_path / name).symlink_to(disk / name)
    for name in ("file", "new"):
        with atomic_file(tmp_path / name) as temporary:
            temporary.write_text("whole")
        assert (tmp_path / name).is_symlink()
        assert (disk / name).read_text() == "whole"
    with atomic_folder(tmp_path / "folder") as temporary:
        (temporary / "x").write_text("inside")
    assert (tmp_path / "folder").is_symlink()
    assert (disk / "folder" / "x").read_text() == "inside"
    assert replaceable(tmp_path / "new") == disk / "new"
    assert sorted(path.name for path in (*tmp_path.iterdir(), *disk.iterdir())) == sorted(
        ["disk", "file", "folder", "new", "file", "folder", "new"]
    )


READERS: list[Callable[[Path], Any]] = [readable_file, read_json, read_yaml, sha256_file]


@pytest.mark.parametrize("make", ODD)
@pytest.mark.parametrize("read", READERS)
def test_what_is_no_file_is_not_read(
    scratch: Path, make: Callable[[Path], str], read: Callable[[Path], Any]
) -> None:
    """A pipe without a writer would wait for ever."""
    said = make(scratch / "in")
    with pytest.raises(UserError, match=f"^in .*{said}"):
        read(scratch / "in")


@pytest.mark.parametrize("read", [load_image, read_image_bytes])
def test_what_is_no_file_is_no_picture(scratch: Path, read: Callable[[Path], Any]) -> None:
    pipe(scratch / "in.png")
    with pytest.raises(BadRow, match=r"unreadable image: in.png is a pipe, not a file"):
        read(scratch / "in.png")
    with pytest.raises(BadRow, match="missing image"):
        read(scratch / "none.png")


def test_what_is_missing_or_a_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none does not exist\.$"):
        readable_file(tmp_path / "none")
    with pytest.raises(UserError, match="is a folder, not a file: give a file in it"):
        readable_file(tmp_path)
    (tmp_path / "there").write_text("")
    assert readable_file(str(tmp_path / "there")) == tmp_path / "there"


@pytest.mark.parametrize("read", READERS)
def test_what_may_not_be_read_is_not_called_damaged(tmp_path: Path, read: Callable[[Path], Any]) -> None:
    file = tmp_path / "file"
    file.write_text("{}")
    with locked(file, folder=tmp_path):
        with pytest.raises(NotPermitted, match="file may not be read .*chmod"):
            read(file)
        with pytest.raises(NotPermitted, match="file may not be read"):
            check_readable(tmp_path)
        with pytest.raises(BadRow, match="unreadable image: .*file may not be read"):
            load_image(file)
