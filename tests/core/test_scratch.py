"""What killed processes left is removed, and nothing of a living one, whatever containers and machines it lives in."""

from __future__ import annotations

import os
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from killed import temporaries, writing
from safetensors.numpy import save_file

from ddecli.core import scratch
from ddecli.core.files import atomic_file, atomic_folder, make_folder, replace_folder
from ddecli.core.scratch import UNTOUCHED_S, clear_stale, scratch_beside


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    with writing(tmp_path / "model", tmp_path / "store") as process:
        yield process


def write_a_file(folder: Path) -> None:
    with atomic_file(folder / "scores") as temporary:
        temporary.write_text("mine")


def write_a_folder(folder: Path) -> None:
    with atomic_folder(folder / "model"):
        pass


@pytest.mark.parametrize("work", [make_folder, clear_stale, write_a_file, write_a_folder])
def test_a_living_process_keeps_its_temporaries_and_a_killed_one_does_not(
    writer: subprocess.Popen[str], tmp_path: Path, work: Callable[[Path], Any]
) -> None:
    held = temporaries(tmp_path)
    assert len(held) == 2
    work(tmp_path)
    assert temporaries(tmp_path) == held
    writer.kill()
    writer.wait()
    work(tmp_path)
    assert not temporaries(tmp_path)


def test_a_process_that_was_not_disturbed_ends_well(writer: subprocess.Popen[str], tmp_path: Path) -> None:
    clear_stale(tmp_path)
    writer.communicate("go on\n")
    assert writer.returncode == 0
    assert (tmp_path / "model" / "weights").read_text() == "half"
    assert not temporaries(tmp_path)


@pytest.mark.parametrize("name", [".step-000002.0badcafe-01234567.tmp", ".model.12345-01234567.tmp"])
def test_of_another_machine_only_what_is_untouched_for_a_day_is_removed(tmp_path: Path, name: str) -> None:
    """Nor can a process's number tell, which earlier versions gave: the process may live in another container."""
    folder = tmp_path / name
    folder.mkdir()
    (folder / "weights").write_text("half")
    long_ago = time.time() - UNTOUCHED_S - 60
    os.utime(folder, (long_ago, long_ago))
    clear_stale(tmp_path)
    assert (folder / "weights").exists()  # it was written just now
    os.utime(folder / "weights", (long_ago, long_ago))
    clear_stale(tmp_path)
    assert not folder.exists()


def test_without_locks_a_day_must_pass(
    writer: subprocess.Popen[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(descriptor: int, operation: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", none)
    writer.kill()
    writer.wait()
    clear_stale(tmp_path)
    left = temporaries(tmp_path)
    assert len(left) == 2
    for path in left:
        for each in (path, *path.rglob("*")):
            os.utime(each, (0, 0))
    clear_stale(tmp_path)
    assert not temporaries(tmp_path)
    with atomic_folder(tmp_path / "model"):
        assert len(temporaries(tmp_path)) == 1


def test_names_of_other_programs_stay(tmp_path: Path) -> None:
    names = [".cache.tmp", ".x.123-abc.tmp", "x.0badcafe-01234567.tmp", ".x.0badcafe-01234567.tmp.bak"]
    for name in names:
        (tmp_path / name).write_text("")
        os.utime(tmp_path / name, (0, 0))
    clear_stale(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)


def test_a_link_in_the_place_of_a_temporary_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "file").write_text("")
    (tmp_path / ".model.12345-01234567.tmp").symlink_to(tmp_path / "theirs")
    clear_stale(tmp_path)
    assert (tmp_path / "theirs" / "file").exists()


def test_what_was_replaced_comes_back_if_it_cannot_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("new", "old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).write_text("")
    rename = Path.rename

    def fail(self: Path, target: Path) -> Path:
        if self.name == "new":
            raise OSError(18, "Invalid cross-device link")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OSError, match="cross-device"):
        replace_folder(tmp_path / "new", tmp_path / "old")
    assert (tmp_path / "old" / "old").exists() and not temporaries(tmp_path)


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_files_have_the_permissions_of_any_new_file(tmp_path: Path, umask: int) -> None:
    """safetensors keeps what it writes to its owner, and copies bring the permissions of what they copy."""

    def mode(path: Path) -> str:
        return oct(stat.S_IMODE(path.stat().st_mode))

    before = os.umask(umask)
    try:
        (tmp_path / "usual").write_text("")
        (tmp_path / "usual-folder").mkdir()
        with atomic_folder(tmp_path / "model") as folder:
            (folder / "unet").mkdir(mode=0o700)
            save_file({"x": np.zeros(1)}, folder / "unet" / "weights.safetensors")
            (folder / "copied.json").write_text("{}")
            (folder / "copied.json").chmod(0o400)
        with atomic_file(tmp_path / "logits", durable=False) as file:
            save_file({"x": np.zeros(1)}, file)
    finally:
        os.umask(before)
    files = [tmp_path / "model/unet/weights.safetensors", tmp_path / "model/copied.json", tmp_path / "logits"]
    assert {mode(path) for path in files} == {mode(tmp_path / "usual")}
    folders = [tmp_path / "model", tmp_path / "model/unet"]
    assert {mode(path) for path in folders} == {mode(tmp_path / "usual-folder")}


def test_one_boot_has_one_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    scratch._kernel.cache_clear()
    here = scratch._kernel()
    scratch._kernel.cache_clear()
    monkeypatch.setattr(scratch, "BOOT_ID", tmp_path / "none")
    assert scratch._kernel() != here
    scratch._kernel.cache_clear()


def test_looking_for_temporaries_leaves_no_file_open(tmp_path: Path) -> None:
    with scratch_beside(tmp_path / "living"):
        (tmp_path / ".stopped.00000000-0123abcd.tmp").mkdir()
        before = len(list(Path("/proc/self/fd").iterdir()))
        for _ in range(3):
            clear_stale(tmp_path)
        assert len(list(Path("/proc/self/fd").iterdir())) == before
