"""Ctrl-C and SIGTERM during training: the step is finished first, on every process the same one."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

import torch
from accelerate import Accelerator

SIGNALS = (signal.SIGINT, signal.SIGTERM)
NOTE = b"\nStopping: the step is finished and a checkpoint written first. Ctrl-C again stops at once.\n"


class StopAfterStep:
    """Whether this run was told to end.

    SIGTERM may come several times, from a cluster and from a launcher that passes it on: each means the same.
    """

    def __init__(self) -> None:
        self.signal = 0
        self.before: dict[int, Any] = {}

    def by_signal(self, number: int, frame: FrameType | None) -> None:
        """Take note of a first signal; a Ctrl-C after it does what it does elsewhere."""
        if self.signal and number == signal.SIGINT:
            self.before[number](number, frame)
        if not self.signal:
            self.signal = number
            if os.environ.get("RANK", "0") == "0":
                # Python's streams may be in the middle of a line, and cannot be entered twice.
                os.write(2, NOTE)

    def told(self, accelerator: Accelerator) -> int:
        """The signal by which any process was told to end, 0 if none was. Every process has to ask, after each step."""
        if accelerator.num_processes == 1:
            return self.signal
        mine = torch.tensor([self.signal], device=accelerator.device)
        return int(accelerator.gather(mine).max())


@contextlib.contextmanager
def stop_after_step() -> Iterator[StopAfterStep]:
    """Within it Ctrl-C and SIGTERM are taken note of; what was to be ignored still is."""
    stop = StopAfterStep()
    if threading.current_thread() is threading.main_thread():  # no other can handle signals
        now = {number: signal.getsignal(number) for number in SIGNALS}
        stop.before = {number: handler for number, handler in now.items() if callable(handler)}
    try:
        for number in stop.before:
            signal.signal(number, stop.by_signal)
        yield stop
    finally:
        for number, handler in stop.before.items():
            signal.signal(number, handler)
