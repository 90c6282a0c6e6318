"""Ctrl-C, and the SIGTERM of a cluster or container: a command cleans up, and says how to go on."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from ddecli.core.text import one_line

BY_CTRL_C = 128 + signal.SIGINT
"""The exit code after Ctrl-C; what typer makes of a KeyboardInterrupt."""
KEEPING = ("collect", "prepare", "sample", "inception", "world build")
"""Commands that go on by themselves behind what they finished."""


class Stop:
    """Whether, and by which signal, this command was told to end."""

    code = BY_CTRL_C

    def by_signal(self, number: int, frame: FrameType | None) -> None:
        """Handle SIGTERM as Ctrl-C is handled."""
        self.code = 128 + number
        raise KeyboardInterrupt

    def tell(self, what: str = "") -> None:
        """Say how far it came and how to go on; of several processes launched together, the main one alone does."""
        if os.environ.get("RANK", "0") == "0":
            print(f"Stopped{what and ' '}{what}. {way_on(sys.argv)}", file=sys.stderr)


@contextlib.contextmanager
def stoppable() -> Iterator[Stop]:
    """Within it SIGTERM ends a command as Ctrl-C does: what is half written is removed."""
    stop = Stop()
    before = signal.getsignal(signal.SIGTERM)
    if before == signal.SIG_DFL:  # whoever started this may want it ignored
        signal.signal(signal.SIGTERM, stop.by_signal)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGTERM, before)


def way_on(typed: list[str]) -> str:
    """How to go on after a command, given as it was typed with the program's name, was stopped."""
    words = typed[1:]
    command = next((word for word in words if not word.startswith("-")), "")
    if command == "world" and "build" in words:
        command = "world build"
    if command in KEEPING or (command == "train" and "--reference-only" in words):
        return "What was finished is kept; run the same command again to go on."
    if command != "train" or "--estimate" in words:
        return "Run the same command again to start over."
    more = [] if "--resume" in words or "--overwrite" in words else ["--resume"]
    again = one_line(shlex.join([*words, *more]))
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        return f"To go on from the last checkpoint, launch as before with: -m ddecli {again}"
    program = "python -m ddecli" if Path(typed[0]).name == "__main__.py" else "ddecli"
    return f"To go on from the last checkpoint: {program} {again}"
