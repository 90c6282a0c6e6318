"""Type a command, in a folder of its own, and see what comes of it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from ddecli.cli.app import main


@dataclass(frozen=True)
class Typed:
    code: int
    out: str
    error: str


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def ddecli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Typed]:
    """Run `ddecli` with arguments in this process: exit code, standard output, error output."""

    def run(*arguments: object) -> Typed:
        monkeypatch.setattr(sys, "argv", ["ddecli", *map(str, arguments)])
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        seen = capsys.readouterr()
        return Typed(code, seen.out, seen.err)

    return run
