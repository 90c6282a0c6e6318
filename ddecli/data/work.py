"""The folder `OUT.parts` beside a store in the making: finished parts, and what they were made from.

plan.json      everything that decides the store; parts made from another plan are never mixed in
parts/NNNNN/   whole parts, each renamed into place when it is finished
train/         the joined store (and holdout/) from the join until they are renamed to OUT
lock           held while a process works here
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ddecli.core.console import console
from ddecli.core.errors import UserError
from ddecli.core.locks import take
from ddecli.core.scratch import clear_stale
from ddecli.core.sealed import read_sealed, write_sealed
from ddecli.data.parts import PART, read_part
from ddecli.data.splits import TRAIN
from ddecli.data.store import MANIFEST, work_folder


class WorkFolder:
    """The finished parts of a store in the making."""

    def __init__(self, out: Path) -> None:
        self.path = work_folder(out)
        self.parts = self.path / "parts"

    def part(self, number: int) -> Path:
        """Folder of a part."""
        return self.parts / f"{number:05d}"

    def is_whole(self, number: int) -> bool:
        """Whether a part is finished."""
        return (self.part(number) / PART).is_file()

    def about(self, number: int) -> dict[str, Any]:
        """What a finished part says of itself, see `read_part`."""
        return read_part(self.part(number))

    @property
    def is_joined(self) -> bool:
        """Whether all parts are joined, and only renaming is left."""
        return (self.path / TRAIN / MANIFEST).is_file()

    def check_plan(self, plan: dict[str, Any], alone: bool) -> None:
        """Begin with a plan, or go on with the one that is there; nobody else may work here if `alone`.

        Raises:
            UserError: the parts that are there were made from another plan.
        """
        file = self.path / "plan.json"
        nothing_yet = alone and not self.is_joined and not any(self.parts.glob(f"[0-9]*/{PART}"))
        if not file.is_file() or nothing_yet:
            write_sealed(file, plan)
            return
        before = read_sealed(file, f"remove {self.path} and run ddecli prepare again")
        differ = [key for key in plan if before.get(key) != plan[key]]
        if differ:
            raise UserError(
                f"{self.path} holds parts made with other settings ({', '.join(differ)} differ). Give the "
                "settings they were made with to go on, remove that folder, or choose another --out."
            )

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.path, ignore_errors=True)

    @contextlib.contextmanager
    def locked(self, alone: bool) -> Iterator[None]:
        """Work in the folder: alone, or beside others who do other parts; wait, and say so, until that can be.

        Raises:
            UserError: the folder cannot be written.
        """
        lock = self.path / "lock"
        while True:
            try:
                self.parts.mkdir(parents=True, exist_ok=True)
                clear_stale(self.path.parent)
                descriptor = os.open(lock, os.O_RDWR | os.O_CREAT)
            except OSError as error:
                raise UserError(f"Cannot write {self.path}: {error.strerror or error}.") from error
            if take(descriptor, shared=not alone) is False:
                console.print(
                    f"Another ddecli prepare works in {self.path}: waiting until it is done.",
                    highlight=False,
                    soft_wrap=True,
                )
                take(descriptor, shared=not alone, waits=True)
            with contextlib.suppress(OSError):
                if os.path.samestat(os.fstat(descriptor), lock.stat()):
                    break
            os.close(descriptor)  # its folder was removed by whoever finished the store
        try:
            yield
        finally:
            os.close(descriptor)
