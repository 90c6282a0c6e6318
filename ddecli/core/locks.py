"""Locks that filelock does not have: of a folder, of a file that holds something, and those that several may share.

A lock on a file that is there for nothing else is a `filelock.FileLock`. Here is what that cannot be:

* a temporary folder is locked itself: a lock file beside it would be one more thing that a killed process leaves;
* so is the file of votes: its folder is passed on, and holds votes and pictures alone;
* the lock of a workflow's server holds the number of its process, and versions of filelock differ in what they leave of
  a lock file;
* those who prepare parts of one store share a lock: filelock's shared lock is a SQLite database, which is not safe on
  the network file systems that machines share.

It is the kernel's (flock), ends with its process however that ends, and holds between containers.
"""

from __future__ import annotations

import fcntl


def take(descriptor: int, shared: bool = False, waits: bool = False) -> bool | None:
    """Lock an open file or folder until it is closed.

    Args:
        shared: beside others who share it, too.
        waits: until it can be had.

    Returns:
        Whether it is locked; False if another process has it, None on a file system without locks.
    """
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        fcntl.flock(descriptor, kind if waits else kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True
