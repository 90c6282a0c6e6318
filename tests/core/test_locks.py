"""Locks end with their process, however it ends, and several may share one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ddecli.core.locks import take
from ddecli.sampling.folder import SampleFolder

HOLD = """
import os, sys, time
from ddecli.core.locks import take
print(take(os.open(sys.argv[1], os.O_RDONLY), shared=sys.argv[2] == "shared"), flush=True)
time.sleep(60)
"""
CLAIM = """
import sys, time
from pathlib import Path
from ddecli.sampling.folder import SampleFolder
SampleFolder._claim = lambda *given: (print("claims", flush=True), time.sleep(60))
SampleFolder(Path(sys.argv[1])).claim({})
"""

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    started = []

    def other(code: str, *words: object) -> subprocess.Popen[str]:
        """Another process, once it has said that it holds the lock."""
        process = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, words)], stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        assert process.stdout and process.stdout.readline().strip() in ("True", "claims")
        return process

    yield other
    for process in started:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


@pytest.fixture(params=["file", "folder"])
def locked(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "locked"
    path.mkdir() if request.param == "folder" else path.write_text("kept")
    return path


def taken(path: Path, shared: bool = False) -> bool | None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return take(descriptor, shared)
    finally:
        os.close(descriptor)


def test_one_process_has_it_until_it_is_killed(start: Start, locked: Path) -> None:
    process = start(HOLD, locked, "alone")
    assert taken(locked) is taken(locked, shared=True) is False
    process.kill()
    process.wait()
    assert taken(locked) is taken(locked, shared=True) is True
    assert locked.is_dir() or locked.read_text() == "kept"


def test_several_may_share_it(start: Start, locked: Path) -> None:
    start(HOLD, locked, "shared")
    start(HOLD, locked, "shared")
    assert taken(locked, shared=True) is True
    assert taken(locked) is False


def test_waiting_ends_when_the_other_process_does(start: Start, locked: Path) -> None:
    process = start(HOLD, locked, "alone")
    waiting = subprocess.Popen(
        [sys.executable, "-c", HOLD.replace('== "shared"', '== "shared", waits=True'), str(locked), "alone"],
        stdout=subprocess.PIPE,
        text=True,
    )
    with waiting:
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(0.5)
        process.kill()
        assert waiting.stdout and waiting.stdout.readline().strip() == "True"
        waiting.kill()


def test_without_locks_nobody_knows(locked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(descriptor: int, operation: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", none)
    assert taken(locked) is taken(locked, shared=True) is None


def test_a_sample_folder_is_claimed_by_one_and_freed_by_a_kill(start: Start, tmp_path: Path) -> None:
    process = start(CLAIM, tmp_path)
    assert taken(tmp_path / ".lock") is False
    process.kill()
    process.wait()
    SampleFolder(tmp_path).claim({"prompt_set": "test"})
    assert (tmp_path / "protocol.json").is_file()
