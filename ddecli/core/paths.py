"""What lies at a path that somebody gave: files alone are read, and files and folders alone are replaced."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from ddecli.core.errors import NotPermitted, UserError

FILE, FOLDER = "a file", "a folder"
_KINDS = (
    (stat.S_ISREG, FILE),
    (stat.S_ISDIR, FOLDER),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


def readable_file(path: str | Path) -> Path:
    """The path of a file that may be read.

    A pipe or a device may never end, or may wait for ever: what they give is to be saved in a file first.

    Raises:
        NotPermitted: it may not be read.
        UserError: there is nothing, or no file.
    """
    path = path if isinstance(path, Path) else Path(path)  # Path(path) would take it apart again
    try:
        kind = _kind(path.stat().st_mode)
        if kind == FILE:
            os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
            return path
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist.") from error
    except PermissionError as error:
        raise NotPermitted(
            f"{path} may not be read (permission denied): ask its owner to allow it, as by `chmod -R a+rX`."
        ) from error
    except (OSError, ValueError) as error:  # links in a circle, a name that is too long; a NUL in a name
        raise UserError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.") from error
    way_out = "give a file in it" if kind == FOLDER else "save what it gives in a file, and give that"
    raise UserError(f"{path} is {kind}, not a file: {way_out}.")


def check_readable(folder: Path) -> None:
    """Say which file of a folder may not be read, if there is one: libraries often call it missing or damaged.

    Raises:
        NotPermitted: the first such file.
    """
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        readable_file(path)


def replaceable(path: str | Path, kind: str = FILE) -> Path:
    """The place that writing to `path` changes: links are followed, as everywhere, and stay links.

    Args:
        kind: what is to be written, `FILE` or `FOLDER`.

    Raises:
        UserError: something else lies there, which would be lost; a device or a pipe among others.
    """
    path = Path(path)
    place = Path(os.path.realpath(path)) if path.is_symlink() else path
    try:
        found = _kind(place.stat().st_mode)
    except FileNotFoundError:
        return place
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"Cannot write {path}: {reason}. Choose another --out.") from error
    if found != kind:
        raise UserError(f"Cannot write {path}: it is {found}, not {kind}. Choose another --out.")
    return place


def _kind(mode: int) -> str:
    return next((name for is_kind, name in _KINDS if is_kind(mode)), "something unknown")
