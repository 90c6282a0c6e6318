"""Tests in forks of a process that has the big libraries loaded: which lines each test runs, and what a change breaks.

What a test runs is seen by a trace of the package's own lines, kept as text, so that it holds when lines move; once a
test file. Lines that run while a fixture of a whole session is made count for every test that uses it.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import importlib
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
LIBRARIES = (
    "diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion",
    "diffusers.pipelines.stable_diffusion_xl.pipeline_stable_diffusion_xl",
    "transformers.models.clip.modeling_clip",
    "matplotlib.pyplot",
    "peft",
    "pyarrow.parquet",
    "scipy.stats",
    "torchmetrics",
    "typer.testing",
)

SLOW_S = 30.0
"""Tests that take longer than this beside a trace are left out."""


def load_libraries() -> None:
    """Load what nearly every test loads; not the package, which each fork loads from its own copy."""
    os.environ["OMP_NUM_THREADS"] = "1"
    sys.path.insert(0, str(ROOT / "tests"))
    for name in LIBRARIES:
        importlib.import_module(name)
    assert not any(name.split(".")[0] == "ddecli" for name in sys.modules)
    gc.freeze()


@contextlib.contextmanager
def copy_of_package() -> Iterator[Path]:
    """A folder like the project's, whose package can be changed."""
    with tempfile.TemporaryDirectory(prefix="mutant-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        for entry in ROOT.iterdir():
            if entry.name != "ddecli" and not entry.name.startswith("."):
                (folder / entry.name).symlink_to(entry)
        shutil.copytree(
            ROOT / "ddecli", folder / "ddecli", ignore=shutil.ignore_patterns("__pycache__", "weights")
        )
        (folder / "ddecli/tinyworld/weights").symlink_to(ROOT / "ddecli/tinyworld/weights")
        yield folder


def run_tests(folder: Path, tests: list[str], limit_s: float, plugin: object | None = None) -> int | None:
    """Run tests of the package in `folder`, until the first fails if nobody watches.

    Returns:
        pytest's exit code; None if the tests did not end in time.
    """
    child = os.fork()
    if child == 0:
        code = 70
        try:
            _become_a_run_of(folder)
            options = ["-q", "-p", "no:cacheprovider", f"--rootdir={folder}", f"--basetemp={folder}/tmp"]
            options += [] if plugin else ["-x"]
            code = int(pytest.main([*options, *tests], plugins=[plugin] if plugin else []))
        finally:
            os._exit(code)
    end = time.monotonic() + limit_s
    status = None
    while status is None and time.monotonic() < end:
        time.sleep(0.05)
        ended, word = os.waitpid(child, os.WNOHANG)
        status = os.waitstatus_to_exitcode(word) if ended else None
    with contextlib.suppress(ProcessLookupError):  # the tests, if they never end, or what they have left
        os.killpg(child, signal.SIGKILL)
    if status is None:
        os.waitpid(child, 0)
    return status


def _become_a_run_of(folder: Path) -> None:
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    output = os.open(folder / "output.txt", os.O_WRONLY | os.O_CREAT)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.chdir(folder)
    os.environ |= {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(folder))


class Watch:
    """A plugin of pytest: the package's lines that each test runs, and how long each takes."""

    def __init__(self, folder: Path, out: Path) -> None:
        self.package, self.out = f"{folder}/ddecli/", out
        self.seen: dict[str, set[tuple[str, int]]] = {}
        self.seconds: dict[str, float] = {}
        self.uses: dict[str, list[str]] = {}
        self.now: set[tuple[str, int]] = set()
        self.failed: set[str] = set()

    def pytest_runtestloop(self) -> None:
        sys.settrace(self._called)
        threading.settrace(self._called)

    def _called(self, frame: Any, event: str, argument: object) -> Callable[..., Any] | None:
        return self._line if frame.f_code.co_filename.startswith(self.package) else None

    def _line(self, frame: Any, event: str, argument: object) -> Callable[..., Any]:
        self.now.add((frame.f_code.co_filename, frame.f_lineno))
        return self._line

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        start = time.monotonic()
        self.now = self.seen[item.nodeid] = set()
        self.uses[item.nodeid] = list(item.fixturenames)  # type: ignore[attr-defined]
        result = yield
        self.seconds[item.nodeid] = time.monotonic() - start
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Iterator[None]:
        outside = self.now
        if fixturedef.scope != "function":
            self.now = self.seen.setdefault(fixturedef.argname, set())
        result = yield
        self.now = outside
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if not report.passed:
            self.failed.add(report.nodeid)

    def pytest_sessionfinish(self) -> None:
        sys.settrace(None)
        texts: dict[str, list[str]] = {}
        found = {}
        for test, seconds in self.seconds.items():
            if test in self.failed or seconds > SLOW_S:
                continue
            lines = set(self.seen[test]).union(*(self.seen.get(name, set()) for name in self.uses[test]))
            by_file: dict[str, set[str]] = {}
            for file, number in lines:
                text = texts.setdefault(file, Path(file).read_text(encoding="utf-8").splitlines())
                name = file.removeprefix(self.package)
                by_file.setdefault(name, set()).add(text[number - 1].strip())
            kept = {name: sorted(of_file) for name, of_file in by_file.items()}
            found[test] = {"seconds": seconds, "lines": kept}
        self.out.write_text(json.dumps(found), encoding="utf-8")


def lines_of_tests(file: Path, kept: Path, limit_s: float) -> dict[str, Any]:
    """What each test of a file runs: {test: {"seconds": s, "lines": {file of the package: [text of a line]}}}.

    Kept in a folder, and made again when the test file changes. Tests that fail as it is, or are slow, are left out.
    """
    digest = hashlib.sha256(file.read_bytes()).hexdigest()[:12]
    out = kept / f"{file.parent.name}-{file.stem}-{digest}.json"
    if not out.exists():
        with copy_of_package() as folder:
            name = str(file.relative_to(ROOT))
            code = run_tests(folder, [name], limit_s, Watch(folder, out))
            if code != 0:
                output = (folder / "output.txt").read_text(errors="replace")
                print(
                    output[-3000:],
                    f"{name}: not all tests pass as the package is (exit code {code})",
                    sep="\n",
                )
        if not out.exists():
            return {}
    return dict(json.loads(out.read_text(encoding="utf-8")))
