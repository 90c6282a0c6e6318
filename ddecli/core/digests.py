"""Digests of big files, computed once a machine and change of the files."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ddecli.core.errors import UserError
from ddecli.core.files import atomic_file, sha256_text

BIG = 2**24
"""Bytes from which a digest is worth remembering."""

JUST_NOW = 2.0
"""Seconds. A file that changed this recently may change again within the clock's tick, unnoticed."""


def remembered(what: str, files: Sequence[Path], compute: Callable[[], str]) -> str:
    """A SHA-256 that depends on the content of files alone, from an earlier command if they have not changed since.

    What tells that is each file's path, size, inode and both its times; the time of its last change cannot be set by
    hand. It is kept in the Hugging Face cache; where that cannot be written, the digest is computed each time.

    Args:
        what: names the digest; another way to compute it has another name.
        files: that are read for it.
        compute: gives the digest, in hexadecimal.
    """
    states = [(str(file.resolve()), file.stat()) for file in files]
    if sum(state.st_size for _, state in states) < BIG:
        return compute()
    known = [[path, s.st_size, s.st_ino, s.st_mtime_ns, s.st_ctime_ns] for path, s in states]
    kept = _folder() / sha256_text(json.dumps([what, *known]))
    with contextlib.suppress(OSError, ValueError):
        digest = kept.read_text(encoding="ascii")
        if re.fullmatch("[0-9a-f]{64}", digest):
            return digest
    digest = compute()
    if time.time() - max(state.st_ctime for _, state in states) > JUST_NOW:
        with contextlib.suppress(UserError), atomic_file(kept, durable=False) as temporary:
            temporary.write_text(digest, encoding="ascii")
    return digest


def _folder() -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_ASSETS_CACHE) / "ddecli" / "digests"
