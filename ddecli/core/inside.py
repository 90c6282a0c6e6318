"""Files that are named inside a file or folder somebody gave: they lie in that folder, or are not read.

Data sets and experiments are passed on, and whoever unpacks one did not choose the names and links in it.
"""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from pathlib import Path

from ddecli.core.errors import BadRow

_HUB_REPOSITORY = re.compile(r"(datasets|models|spaces)--.+")


def inside(folder: Path, name: str | Path) -> Path:
    """The file of a folder that a table, a description or a listing of the folder names.

    Links are followed within the folder. The one exception is the cache of the Hugging Face hub, where a picture of
    `snapshots/REVISION` is a link to `../../blobs/DIGEST`: it may lead into the blobs of its own repository.

    Args:
        name: relative to the folder. Backslashes may stand for slashes, and letters may be written in another Unicode
            form than on the disk (an accent as a character of its own), if there is no file of exactly this name.

    Returns:
        Its path; whether there is such a file is for the reader to say.

    Raises:
        BadRow: it lies outside the folder, or is no name of a file.
    """
    try:
        if _is_plain(folder, str(name)):
            return folder / name
        path = _on_disk(folder, str(name))
        root, place = folder.resolve(), path.resolve()
    except (
        OSError,
        RuntimeError,
        ValueError,
    ) as error:  # a name too long, links in a circle, a NUL character
        raise BadRow("missing image", f"{str(name)!r} ({error})") from error
    if place.is_relative_to(root) or (_is_below(path, folder) and place.parent == _hub_blobs(root)):
        return path
    leads = f"{name} leads to {place}, outside {folder}" if _is_below(path, folder) else str(name)
    raise BadRow("path leaves the folder", f"{leads}: put a copy into the folder")


def _is_plain(folder: Path, name: str) -> bool:
    """Whether a name is that of a file which lies in a folder itself, and is no link: as nearly all are."""
    try:
        return os.sep not in name and stat.S_ISREG(os.lstat(folder / name).st_mode)
    except OSError:
        return False


def _on_disk(folder: Path, name: str) -> Path:
    """The file meant by a name that was perhaps written on another system."""
    names = [name, name.replace("\\", "/")]
    names += [unicodedata.normalize(form, each) for each in names for form in ("NFC", "NFD")]
    places = (folder / each for each in dict.fromkeys(names))
    return next((place for place in places if place.is_file()), folder / name)


def _is_below(path: Path, folder: Path) -> bool:
    """Whether a path lies in a folder by its name, links left aside."""
    plain = os.path.relpath(path, folder)
    return plain != os.pardir and not plain.startswith(os.pardir + os.sep)


def _hub_blobs(folder: Path) -> Path | None:
    """Where the hub's cache keeps the files of the repository whose snapshot a folder is, or is in."""
    for snapshot in (folder, *folder.parents):
        repository = snapshot.parent.parent
        if snapshot.parent.name == "snapshots" and _HUB_REPOSITORY.fullmatch(repository.name):
            return repository / "blobs"
    return None
