"""Type a command and see what comes of it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from ddecli.cli.app import main


@dataclass(frozen=True)
class Typed:
    code: int
    out: str
    error: str


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
