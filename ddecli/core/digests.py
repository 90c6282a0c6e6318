"""Digests of files, noted when they are written and compared when they are read; big ones once a machine and change."""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ddecli.core.console import progress
from ddecli.core.errors import UserError
from ddecli.core.files import atomic_file, sha256_file, sha256_text
from ddecli.core.paths import readable_file

BIG = 2**24
"""Bytes from which a digest is worth remembering."""

LONG = 2**31
"""Bytes from which it is shown how far the comparison of files has come."""

JUST_NOW = 2.0
"""Seconds. A file that changed this recently may change again within the clock's tick, unnoticed."""


def file_entry(file: Path) -> dict[str, Any]:
    """What is noted of a file that was written: its `bytes` and its `sha256`."""
    return {"bytes": file.stat().st_size, "sha256": sha256_file(file)}


def check_files(folder: Path, entries: Mapping[str, Mapping[str, Any]], way_out: str) -> None:
    """Compare files of a folder with what was noted when they were written.

    Args:
        entries: of `file_entry`, by the files' names.
        way_out: what to do if one is damaged, as in "prepare the pairs again".

    Raises:
        UserError: names the first that is missing or has changed.
    """
    for name, entry in entries.items():
        path = folder / name
        size = path.stat().st_size if path.is_file() else None
        if size != entry["bytes"]:
            seen = "is missing" if size is None else f"has {size} bytes, not {entry['bytes']}"
            raise UserError(f"{path} {seen}: {way_out}.")
    paths = [readable_file(folder / name) for name in entries]
    total = sum(entry["bytes"] for entry in entries.values())
    shown = (
        progress(f"Checking {folder}", len(paths), unit="files")
        if total >= LONG
        else contextlib.nullcontext()
    )
    with shown as advance, ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for path, digest in zip(paths, pool.map(digest_of, paths), strict=True):
            if digest != entries[str(path.relative_to(folder))]["sha256"]:
                raise UserError(f"{path} has changed since it was written: {way_out}.")
            if advance:
                advance()


def digest_of(file: Path) -> str:
    """SHA-256 of a file's bytes; a big one is read once a machine and change."""
    return remembered("bytes", [file], lambda: sha256_file(file))


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
    found = _read(kept)
    if found:
        return found
    with _one_at_a_time(kept):
        found = _read(kept)
        if found:
            return found
        digest = compute()
        if time.time() - max(state.st_ctime for _, state in states) > JUST_NOW:
            with contextlib.suppress(UserError), atomic_file(kept) as temporary:
                temporary.write_text(digest, encoding="ascii")
    return digest


def _read(kept: Path) -> str | None:
    """A digest that was computed before."""
    with contextlib.suppress(OSError, ValueError):
        digest = kept.read_text(encoding="ascii")
        if re.fullmatch("[0-9a-f]{64}", digest):
            return digest
    return None


@contextlib.contextmanager
def _one_at_a_time(kept: Path) -> Iterator[None]:
    """The processes of one training all want the same digests: one computes, the others wait for it."""
    from filelock import FileLock

    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # a file system without locks, or a cache that cannot be written
            kept.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(FileLock(kept.with_suffix(".lock"), fallback_to_soft=False))
        yield


def _folder() -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_ASSETS_CACHE) / "ddecli" / "digests"
