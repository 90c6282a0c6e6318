"""Progress of a command, as a person sees it."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from ddecli.core import console
from ddecli.core.console import progress


@pytest.mark.parametrize(("rank", "is_shown"), [(None, True), ("0", True), ("1", False)])
@pytest.mark.parametrize("terminal", [True, False])
def test_the_main_process_alone_shows_progress(
    monkeypatch: pytest.MonkeyPatch, rank: str | None, is_shown: bool, terminal: bool
) -> None:
    monkeypatch.delenv("RANK", raising=False)
    if rank is not None:
        monkeypatch.setenv("RANK", rank)
    shown = io.StringIO()
    monkeypatch.setattr(console, "console", Console(file=shown, force_terminal=terminal))
    monkeypatch.setattr(console, "PLAIN_INTERVAL_S", 0.0)
    with progress("sampling", 2, unit="images") as advance:
        advance(2, note="done")
    assert ("sampling" in shown.getvalue()) == is_shown
