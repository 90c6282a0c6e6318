"""Asking, without a page: what is said and written around it."""

from __future__ import annotations

import json
import signal
import webbrowser
from pathlib import Path

import pytest

from ddecli.collect.ask import SUMMARY, ask


@pytest.mark.parametrize("open_page", [False, True])
def test_the_page_is_opened_where_that_is_wanted(
    folders: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    open_page: bool,
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("ddecli.collect.server.serve", lambda *given: int(signal.SIGINT))
    monkeypatch.setattr(webbrowser, "open", opened.append)
    summary = ask(folders, tmp_path / "votes", open_page=open_page)
    said = capsys.readouterr().err
    assert [address for address in opened if address in said] == opened
    assert len(opened) == open_page
    assert summary.votes == 0 and json.loads((tmp_path / "votes" / SUMMARY).read_text())["pairs"] == 0


def test_sigterm_ends_it_as_every_command(
    folders: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ddecli.collect.server.serve", lambda *given: int(signal.SIGTERM))
    with pytest.raises(KeyboardInterrupt):
        ask(folders, tmp_path / "votes")
    assert (tmp_path / "votes" / SUMMARY).is_file()
