"""What a refused command must look like, and that nothing was damaged by it."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def contents(folder: str | Path) -> dict[str, bytes]:
    """Every file under a folder."""
    files = (path for path in Path(folder).rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def assert_one_sentence(typed: Any, *parts: str) -> None:
    """The command ended with exit code 2 and said why in one line."""
    assert typed.code == 2
    *notes, said = typed.error.strip().splitlines()
    assert said.startswith("Error: ")
    assert all(part in said for part in parts), said
    assert not any("Traceback" in line for line in notes)
