"""The ways in which a command ends before its end: input that cannot be used, and being told to."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

LONGEST = 300
"""Characters that are kept of what a library says."""


class UserError(Exception):
    """Input that cannot be used. One clear sentence that names the thing and the way out.

    The command line prints it without a traceback and exits with code 2.
    """


class NotPermitted(UserError):
    """What is there and may not be read: it is neither missing nor damaged, and must not be called so."""


class Stopped(Exception):
    """A command was told to end by `signal`, and has put away what it did: `what` says how far it came."""

    def __init__(self, signal: int, what: str) -> None:
        super().__init__(what)
        self.signal = signal
        self.what = what


class BadRow(Exception):
    """One row of data that cannot be used. It is skipped, counted by `reason` and listed.

    `reason` is a short, fixed phrase ("unreadable image"), `detail` says what was seen.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


def first_sentence(error: Exception) -> str:
    """What another library says of a failure, for ours: the first sentence of its message, or the error's name."""
    said = (str(error).strip() or type(error).__name__).splitlines()[0]
    return re.split(r"(?<=[.!?])\s", said)[0][:LONGEST]


@contextlib.contextmanager
def read_by_others(what: str, way_out: str) -> Iterator[None]:
    """For blocks in which another library reads a file: whatever it raises of a damaged one becomes one sentence.

    Which errors those are, libraries do not tell, and it changes with their versions.

    Args:
        what: is said of the file, as in "x.npz is no credit map".
        way_out: as in "train the run again".

    Raises:
        UserError: the block failed. Its own UserErrors pass unchanged.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{what} ({first_sentence(error).rstrip('.')}): {way_out}.") from error
