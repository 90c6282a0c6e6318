"""Be, for a while, somebody who may not read what others keep to themselves."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

NOBODY = 65534
OPEN = stat.S_IRGRP | stat.S_IXGRP | stat.S_IROTH | stat.S_IXOTH


@contextlib.contextmanager
def locked(*files: Path, folder: Path) -> Iterator[None]:
    """Within it nobody may read the files, which lie in a test's own `folder`; root is not root then."""
    is_root = os.geteuid() == 0
    modes = {path: path.stat().st_mode for path in (*files, folder, *folder.parents)}
    for path, mode in modes.items():
        if path in files:
            path.chmod(0o000)
        elif is_root and mode & OPEN != OPEN and path.owner() == "root":
            path.chmod(mode | OPEN)
    if is_root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)
        for path, mode in modes.items():
            path.chmod(mode) if path.stat().st_mode != mode else None
