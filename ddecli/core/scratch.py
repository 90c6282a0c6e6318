"""Temporary folders beside what is written, and what killed processes left of theirs.

`.NAME.KERNEL-RANDOM.tmp` is locked (flock) while its process lives. The lock is the kernel's, so it holds between
containers, where numbers of processes say nothing; KERNEL is that of one boot of one machine. So under the same
kernel a folder that nobody has locked was left behind, and is removed at once. Of another machine that shares the
folder (or of this one before it was started again), and on file systems without locks, nobody can tell: there a
temporary is removed when nothing in it has changed for a day.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
import time
import uuid
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from ddecli.core.locks import take

UNTOUCHED_S = 24 * 3600
"""Seconds without a change after which a temporary is left behind, if there is no better way to tell."""
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_NAME = re.compile(r"\.(?:.+\.([0-9a-f]{8}|\d{1,7})|write)-[0-9a-f]{8}\.tmp")
"""With the names that earlier versions gave: a number of a process, and `.write-`."""


@contextlib.contextmanager
def scratch_beside(path: Path) -> Iterator[Path]:
    """A new empty folder beside `path`, on its file system; removed at the end.

    Raises:
        OSError: it cannot be made.
    """
    folder, lock = _locked_folder(path)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def clear_stale(folder: Path) -> None:
    """Remove the temporaries in `folder` whose process lives no longer; what may not be removed stays."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") and (match := _NAME.fullmatch(entry.name)):
                _clear(folder / entry.name, match[1])


def _locked_folder(path: Path) -> tuple[Path, int]:
    """A new folder, and the descriptor that holds its lock."""
    while True:
        folder = path.with_name(f".{path.name[:40]}.{_kernel()}-{uuid.uuid4().hex[:8]}.tmp")
        folder.mkdir()
        with contextlib.suppress(FileNotFoundError):
            descriptor = os.open(folder, os.O_RDONLY)
            take(descriptor, waits=True)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), folder.stat()):
                    return folder, descriptor
            os.close(descriptor)  # another process took it for one left behind before it was locked


def _clear(temporary: Path, kernel: str | None) -> None:
    try:
        descriptor = os.open(temporary, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return
    try:
        if _is_stale(temporary, kernel, descriptor):
            if temporary.is_dir():
                shutil.rmtree(temporary, ignore_errors=True)
            else:
                temporary.unlink(missing_ok=True)
    except OSError:
        pass
    finally:
        os.close(descriptor)


def _is_stale(temporary: Path, kernel: str | None, descriptor: int) -> bool:
    if kernel == _kernel() and (is_ours := take(descriptor)) is not None:
        return is_ours
    changed = max(path.lstat().st_mtime for path in (temporary, *temporary.rglob("*")))
    return time.time() - changed > UNTOUCHED_S


@cache
def _kernel() -> str:
    """Eight digits that tell this boot of this machine."""
    try:
        boot = BOOT_ID.read_text()
    except OSError:
        boot = platform.node()
    return f"{zlib.crc32(boot.encode()):08x}"
