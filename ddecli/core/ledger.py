"""Which files a result was made from: every reader notes its files and their SHA-256, whoever asks collects them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path

from ddecli.core.digests import digest_of

_READ: ContextVar[dict[str, str] | None] = ContextVar("read", default=None)


@contextlib.contextmanager
def noting() -> Iterator[dict[str, str]]:
    """Yield the SHA-256 of every file that is noted within the block, by its path as it was given."""
    read: dict[str, str] = {}
    token = _READ.set(read)
    try:
        yield read
    finally:
        _READ.reset(token)


def note(*files: Path) -> None:
    """Note that files were read."""
    read = _READ.get()
    if read is not None:
        read |= {str(file): digest_of(file) for file in files}
