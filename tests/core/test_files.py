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
from ddecli.core.files import atomic_file, atomic_folder, make_folder, read_json, write_json


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
    with pytest.raises(UserError, match="Cannot write to"):
        make_folder(tmp_path / "file" / "inside")


def test_broken_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(UserError, match=r"x\.json"):
        read_json(tmp_path / "x.json")
