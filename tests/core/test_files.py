"""Files and folders are whole or not there."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from full_disk import full_disk
from safetensors.numpy import save_file

from ddecli.core.errors import UserError
from ddecli.core.files import (
    atomic_file,
    atomic_folder,
    make_folder,
    read_json,
    read_yaml,
    scratch_in,
    write_json,
)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"old": 1})

    def write_half() -> None:
        with atomic_file(path) as temporary:
            temporary.write_text("{ha")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(UserError, match="No space left"):
        write_half()
    assert read_json(path) == {"old": 1}
    assert [each.name for each in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize("make", [atomic_file, atomic_folder])
def test_a_disk_that_is_full_for_a_library_is_named(tmp_path: Path, make: Any) -> None:
    """safetensors raises an error of its own, which is no OSError."""
    sentence = r"Cannot write .*out: .*File too large"
    with full_disk(100), pytest.raises(UserError, match=sentence), make(tmp_path / "out") as temporary:
        save_file({"x": np.zeros(100)}, temporary / "x" if temporary.is_dir() else temporary)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_replaces_the_old_one_whole(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    for text in ("old", "new"):
        with atomic_folder(folder) as temporary:
            (temporary / "deep").mkdir()
            (temporary / "deep" / "file").write_text(text)
    assert (folder / "deep" / "file").read_text() == "new"
    assert [each.name for each in tmp_path.iterdir()] == ["store"]


def test_an_error_inside_leaves_no_folder(tmp_path: Path) -> None:
    def fail() -> None:
        with atomic_folder(tmp_path / "store"):
            raise ValueError("boom")

    with pytest.raises(ValueError, match="boom"):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="Cannot write"):
        make_folder(tmp_path / "file" / "inside")


def test_broken_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(UserError, match=r"x\.json"):
        read_json(tmp_path / "x.json")


def test_settings_are_read(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("beta: 20.0  # strength\nlora: null\n", encoding="utf-8")
    assert read_yaml(tmp_path / "x.yaml") == {"beta": 20.0, "lora": None}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"model: x\nloss: [dde\nbeta: 1\n", r"cannot be read as YAML: line 3, expected .*\.$"),
        (b"model: \xff\n", "cannot be read as YAML: .*utf-8"),
        (b"day: 2024-13-45\n", "cannot be read as YAML: month must be in 1..12"),
        (b"a\x00b", "cannot be read as YAML: "),
        (b"", "holds no settings: write one `name: value` per line"),
        (b"- a\n", "holds no settings"),
    ],
)
def test_broken_settings_are_named_in_one_sentence(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "x.yaml").write_bytes(content)
    with pytest.raises(UserError, match=rf"x\.yaml {said}") as error:
        read_yaml(tmp_path / "x.yaml")
    assert "\n" not in str(error.value)


def test_settings_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.yaml does not exist"):
        read_yaml(tmp_path / "none.yaml")
    with pytest.raises(UserError, match="is a folder, not a file"):
        read_yaml(tmp_path)


def test_files_share_a_temporary_folder(tmp_path: Path) -> None:
    """One that a link leads elsewhere has its own beside where it lies; a failed one leaves the old file."""
    (tmp_path / "there").mkdir()
    (tmp_path / "c").symlink_to(tmp_path / "there" / "c")
    (tmp_path / "b").write_text("old")
    with scratch_in(tmp_path) as scratch:
        for name, own in (("a", True), ("b", True), ("c", False)):
            with atomic_file(tmp_path / name, durable=False, scratch=scratch) as temporary:
                assert (temporary.parent == scratch) == own
                temporary.write_text("new")
        with (
            pytest.raises(ZeroDivisionError),
            atomic_file(tmp_path / "b", scratch=scratch) as temporary,
        ):
            temporary.write_text("half")
            raise ZeroDivisionError
    assert [(tmp_path / name).read_text() for name in "abc"] == ["new"] * 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "c", "there"]
    assert [path.name for path in (tmp_path / "there").iterdir()] == ["c"]
