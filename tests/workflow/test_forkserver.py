"""Commands that are forks of one server do what they do alone, end as they do, and leave nothing behind."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

pytestmark = pytest.mark.skipif(sys.platform == "darwin", reason="there is no server on this system")

Command = Callable[..., "subprocess.Popen[str]"]


@dataclass(frozen=True)
class Workflow:
    """A process that stands for a workflow, and the folder of temporary files; a socket's path may not be long."""

    process: subprocess.Popen[bytes]
    folder: Path

    def start(self, place: Path, *words: str, **environment: str) -> subprocess.Popen[str]:
        """Start a `ddecli` command of it, in a folder."""
        own = {"TMPDIR": str(self.folder), "DDECLI_WORKFLOW": f"{socket.gethostname()}:{self.process.pid}"}
        return subprocess.Popen(
            [sys.executable, "-m", "ddecli", *words],
            env={k: v for k, v in os.environ.items() if k != "PYTEST_CURRENT_TEST"} | own | environment,
            cwd=place,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@contextlib.contextmanager
def _running() -> Iterator[Workflow]:
    waits = [sys.executable, "-c", "input()"]
    with (
        tempfile.TemporaryDirectory(prefix="f") as folder,
        subprocess.Popen(waits, stdin=subprocess.PIPE) as process,
    ):
        try:
            yield Workflow(process, Path(folder))
        finally:
            process.kill()
            process.wait()  # the servers end with it, and take their folder along
            _until(lambda: not any(Path(folder).glob("ddecli-*")))


@pytest.fixture
def workflow() -> Iterator[Workflow]:
    """A workflow of the test's own."""
    with _running() as found:
        yield found


@pytest.fixture
def short(workflow: Workflow) -> Path:
    return workflow.folder


@pytest.fixture
def command(workflow: Workflow, tmp_path: Path) -> Command:
    """Start a `ddecli` command of that workflow, in a folder of its own."""
    return partial(workflow.start, tmp_path)


@pytest.fixture(scope="module")
def lasting() -> Iterator[Workflow]:
    """A workflow of several tests, whose server has imported what `sample` needs when the first of them is over."""
    with _running() as found:
        yield found


@pytest.fixture
def sampling(lasting: Workflow, tmp_path: Path) -> tuple[subprocess.Popen[str], int]:
    """A `ddecli sample` under way as a fork of that workflow's server, and the server."""
    assert _alone(lasting.start(tmp_path, "--version"))[0] == 0
    (server,) = _servers(lasting.folder)
    return _sample(lasting, tmp_path), server


def _sample(workflow: Workflow, place: Path) -> subprocess.Popen[str]:
    process = workflow.start(place, "sample", "tiny", "--prompts", "world:test", "--out", "images")
    _until(lambda: (place / "images").exists() or process.poll() is not None)
    assert process.poll() is None
    return process


@pytest.fixture
def picture(tmp_path: Path) -> None:
    Image.new("RGB", (32, 32), (200, 30, 30)).save(tmp_path / "a.png")


SCORE = ("score", "a.png", "--prompt", "a red circle", "--family", "tiny", "--metric", "clip", "--json")


def _servers(folder: Path) -> list[int]:
    return [int(file.read_text()) for file in folder.glob("ddecli-*/*.lock")]


def _children(process: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def _alone(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Exit code and output of a command that no server runs."""
    out, error = process.communicate(timeout=120)
    return process.returncode, out, error


def _until(found: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize(
    "words", [("--version",), ("train", "--help"), ("score", "nothere"), ("train", "--x")]
)
def test_a_fork_says_what_the_command_says_alone(
    command: Command, short: Path, words: tuple[str, ...]
) -> None:
    alone = _alone(command(*words, DDECLI_WORKFLOW=""))
    assert _servers(short) == []
    assert _alone(command(*words)) == _alone(command(*words)) == alone
    assert len(_servers(short)) == 1


def test_what_a_command_imported_is_there_for_the_next_one(
    command: Command, short: Path, picture: None
) -> None:
    alone = _alone(command(*SCORE, DDECLI_WORKFLOW=""))
    assert alone[0] == 0
    _alone(command("--version"))
    (server,) = _servers(short)

    def has_torch() -> bool:
        return "libtorch" in Path(f"/proc/{server}/maps").read_text()

    assert not has_torch()
    assert _alone(command(*SCORE)) == alone
    _until(has_torch)
    assert _alone(command(*SCORE)) == alone
    assert _servers(short) == [server]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_reaches_the_fork(
    sampling: tuple[subprocess.Popen[str], int], number: int, code: int
) -> None:
    process, server = sampling
    process.send_signal(number)
    returned, _, error = _alone(process)
    assert returned == code and "Stopped. What was finished is kept" in error
    assert _children(server) == []


def test_the_fork_of_a_command_that_was_killed_ends(
    sampling: tuple[subprocess.Popen[str], int], lasting: Workflow, tmp_path: Path
) -> None:
    process, server = sampling
    process.kill()
    process.communicate()
    _until(lambda: not _children(server))
    assert _alone(lasting.start(tmp_path, "--version"))[0] == 0
    assert _servers(lasting.folder) == [server]  # which goes on


def test_a_fork_that_is_killed_is_the_command_that_is_killed(
    sampling: tuple[subprocess.Popen[str], int],
) -> None:
    process, server = sampling
    (fork,) = _children(server)
    os.kill(fork, signal.SIGKILL)
    assert _alone(process)[0] == -signal.SIGKILL


def test_a_server_that_is_killed_is_said(workflow: Workflow, tmp_path: Path, command: Command) -> None:
    _alone(command("--version"))
    (server,) = _servers(workflow.folder)
    process = _sample(workflow, tmp_path)
    (fork,) = _children(server)
    os.kill(server, signal.SIGKILL)
    assert process.wait(60) == 1
    os.kill(fork, signal.SIGTERM)
    _, _, error = _alone(process)
    assert "was killed" in error and "Traceback" not in error
    assert _alone(command("--version"))[0] == 0  # a new one takes its place
    assert server not in _servers(workflow.folder)


def test_another_environment_has_another_server(command: Command, short: Path) -> None:
    for threads in ("1", "2"):
        _alone(command("--version", OMP_NUM_THREADS=threads))
    _alone(command("--version", OMP_NUM_THREADS="1", CUDA_VISIBLE_DEVICES=""))
    assert len(_servers(short)) == 2


def test_without_a_workflow_of_this_machine_there_is_no_server(
    command: Command, tmp_path: Path, short: Path, workflow: Workflow
) -> None:
    for variables in (
        {"DDECLI_WORKFLOW": ""},
        {"DDECLI_WORKFLOW": f"elsewhere:{workflow.process.pid}"},
        {"DDECLI_WORKFLOW": "what"},
        {"RANK": "0"},
    ):
        assert _alone(command("--version", **variables))[0] == 0
    long = tmp_path / ("x" * 100)
    long.mkdir()
    assert _alone(command("--version", TMPDIR=str(long)))[0] == 0
    assert _servers(short) == [] and not any(long.rglob("*.lock"))


def test_a_folder_that_others_can_write_to_is_not_used(
    command: Command, short: Path, workflow: Workflow
) -> None:
    folder = short / f"ddecli-{os.getuid()}-{workflow.process.pid}"
    folder.mkdir()
    folder.chmod(0o777)
    assert _alone(command("--version"))[0] == 0
    assert _servers(short) == []
    folder.rmdir()


@pytest.mark.parametrize("closed", ["<&-", "2>&-"])
def test_where_a_stream_is_closed_there_is_no_server(workflow: Workflow, tmp_path: Path, closed: str) -> None:
    own = {
        "TMPDIR": str(workflow.folder),
        "DDECLI_WORKFLOW": f"{socket.gethostname()}:{workflow.process.pid}",
    }
    line = f"exec {sys.executable} -m ddecli --version {closed}"
    done = subprocess.run(
        ["sh", "-c", line], cwd=tmp_path, env=os.environ | own, stdout=subprocess.PIPE, text=True
    )
    assert (done.returncode, done.stdout[:7]) == (0, "ddecli ")
    assert _servers(workflow.folder) == []
