"""The votes folder that is written to: by one process alone, and a vote is on the disk before anybody is told so."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from ddecli.core.console import console
from ddecli.core.errors import UserError
from ddecli.core.files import atomic_file, make_folder, sync
from ddecli.core.locks import take
from ddecli.data.votes import PICTURES, VOTES, Vote, votes_of

NAME_DIGITS = 32
"""Hexadecimal digits of a picture's SHA-256 that are its name in the folder."""


class VotesFile:
    """The lines of a votes folder, and the way to add some.

    Attributes:
        lines: all that were ever written, in their order.
    """

    def __init__(self, folder: Path, descriptor: int) -> None:
        self.folder = folder
        self._descriptor = descriptor
        file = folder / VOTES
        self.lines, whole = votes_of(file.read_bytes(), file)
        if whole < file.stat().st_size:
            console.print(
                f"{file} ended in the middle of a line, which nobody was told to be kept: it is removed."
            )
            os.ftruncate(descriptor, whole)
            os.fsync(descriptor)

    def add(self, vote: Vote) -> None:
        """Write a vote, and wait until it is on the disk.

        Raises:
            UserError: it cannot be written; the file is as it was before.
        """
        size = os.fstat(self._descriptor).st_size
        content = vote.line().encode()
        try:
            while content:
                content = content[os.write(self._descriptor, content) :]
            os.fsync(self._descriptor)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, size)
            raise UserError(f"Cannot write {self.folder / VOTES}: {error.strerror or error}.") from error
        self.lines.append(vote)

    def keep(self, digest: str, ending: str, content: bytes) -> str:
        """Put a copy of a picture into the folder, if it is not there yet, and give its name in the folder.

        Raises:
            UserError: it cannot be written.
        """
        name = f"{PICTURES}/{digest[:NAME_DIGITS]}{ending}"
        place = self.folder / name
        if not place.exists():
            with atomic_file(place) as temporary:
                temporary.write_bytes(content)
        return name


@contextlib.contextmanager
def open_votes(folder: Path) -> Iterator[VotesFile]:
    """Open a votes folder, or make one, for this process alone.

    Raises:
        UserError: another process has it open, it cannot be written, or a line of it is damaged.
    """
    if folder.is_dir() and any(folder.iterdir()) and not (folder / VOTES).is_file():
        raise UserError(f"{folder} is not empty and holds no votes: choose another --out.")
    make_folder(folder)
    file = folder / VOTES
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
    except OSError as error:
        raise UserError(f"Cannot write {file}: {error.strerror or error}.") from error
    try:
        if take(descriptor) is False:
            raise UserError(
                f"Another ddecli collect has {folder} open: several people can vote at its address, each by name, "
                "or end it first."
            )
        make_folder(folder / PICTURES)
        sync(folder)
        yield VotesFile(folder, descriptor)
    finally:
        os.close(descriptor)
