"""Ctrl-C, and the SIGTERM of a cluster or container: a command cleans up, and says how to go on."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from types import FrameType

BY_CTRL_C = 128 + signal.SIGINT
"""The exit code after Ctrl-C; what typer makes of a KeyboardInterrupt."""
KEEPING = ("prepare", "sample", "inception", "world build")
"""Commands that go on by themselves behind what they finished."""


class Stop:
    """Whether, and by which signal, this command was told to end."""

    code = BY_CTRL_C

    def by_signal(self, number: int, frame: FrameType | None) -> None:
        """Handle SIGTERM as Ctrl-C is handled."""
        self.code = 128 + number
        raise KeyboardInterrupt

    def tell(self) -> None:
        """Say how to go on; of several processes that were launched together, the main one alone does."""
        if os.environ.get("RANK", "0") == "0":
            print(f"Stopped. {way_on(sys.argv[1:])}", file=sys.stderr)


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


def way_on(words: list[str]) -> str:
    """How to go on after a command, given as it was typed, was stopped."""
    command = next((word for word in words if not word.startswith("-")), "")
    if command == "world" and "build" in words:
        command = "world build"
    if command in KEEPING:
        return "What was finished is kept; run the same command again to go on."
    if command != "train" or "--estimate" in words:
        return "Run the same command again to start over."
    if "--resume" in words or "--overwrite" in words:
        return "To go on from the last checkpoint, run the same command again."
    return "To go on from the last checkpoint, add --resume to the same command."
