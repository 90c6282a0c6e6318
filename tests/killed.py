"""Processes that die, or live, in the middle of writing."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

WRITE = """
import sys
from contextlib import ExitStack
from pathlib import Path
from ddecli.core.files import atomic_folder
with ExitStack() as stack:
    for path in sys.argv[1:]:
        (stack.enter_context(atomic_folder(Path(path))) / "weights").write_text("half")
    print("writing", flush=True)
    sys.stdin.readline()
"""


@contextlib.contextmanager
def writing(*paths: Path) -> Iterator[subprocess.Popen[str]]:
    """A process in the middle of writing folders; killed at the end."""
    words = [sys.executable, "-c", WRITE, *map(str, paths)]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None and process.stdout.readline() == "writing\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def temporaries(folder: Path) -> set[Path]:
    """Everything below a folder that has a temporary's name."""
    return set(folder.rglob(".*.tmp"))
