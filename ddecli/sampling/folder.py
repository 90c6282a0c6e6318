"""The folder of a sample: names of images, protocol.json, metadata.jsonl, and which images are missing."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from ddecli.core.errors import NotPermitted, UserError
from ddecli.core.files import make_folder, sync, write_text
from ddecli.core.paths import replaceable
from ddecli.core.prompt_rows import PROMPT_ROWS
from ddecli.core.protocol import (
    BESIDE,
    CONTACT_SHEET,
    LOGITS,
    METADATA,
    PROTOCOL,
    image_name,
    prompt_id,
    read_protocol,
    spacing_of,
)
from ddecli.core.sealed import write_sealed
from ddecli.core.text import to_json
from ddecli.core.world import world_of

OWN_FILES = (
    PROTOCOL,
    METADATA,
    PROMPT_ROWS,
    CONTACT_SHEET,
    "scores.parquet",
    "scores.json",
    "scores-skipped.jsonl",
    "inception.json",
)
IMAGE_PATTERN = "[0-9a-f]" * 12 + "-*.png"


@dataclass(frozen=True)
class ImageTask:
    """One image to make: its prompt and its number among the images of that prompt."""

    prompt: str
    prompt_id: str
    image_index: int

    @property
    def file_name(self) -> str:
        """Of its picture."""
        return image_name(self.prompt_id, self.image_index)


def list_tasks(prompts: tuple[str, ...], images_per_prompt: int) -> list[ImageTask]:
    """Every image of a sample, prompt by prompt: `len(prompts) * images_per_prompt` tasks."""
    return [
        ImageTask(prompt, prompt_id(prompt), index)
        for prompt in prompts
        for index in range(images_per_prompt)
    ]


class SampleFolder:
    """An output folder that holds images of one protocol and model only."""

    def __init__(self, path: Path) -> None:
        self.path = make_folder(path)

    def clear(self) -> None:
        """Remove what an earlier sample, and its scoring, left here; other files stay."""
        pictures = [*self.path.glob(IMAGE_PATTERN), *self.path.glob(f"{BESIDE}*.png")]
        for file in [*pictures, *(self.path / name for name in OWN_FILES)]:
            file.unlink(missing_ok=True)
        shutil.rmtree(self.path / LOGITS, ignore_errors=True)

    def claim(self, protocol: dict[str, Any], overwrite: bool = False) -> None:
        """Write protocol.json, or check that the one already here is the same.

        Args:
            overwrite: remove an earlier sample of another protocol or model. Shards may claim a folder at the same
                time: the first removes it, the others find their own protocol.

        Raises:
            UserError: the folder holds images of another protocol or model, or images without a protocol.
        """
        with FileLock(replaceable(self.path / ".lock")):
            self._claim(protocol, overwrite)

    def _claim(self, protocol: dict[str, Any], overwrite: bool) -> None:
        file = self.path / PROTOCOL
        if not file.exists():
            if any(self.path.glob("*.png")):
                raise UserError(f"{self.path} holds images but no {PROTOCOL}. Choose another --out.")
            write_sealed(file, protocol)
            return
        found = self._found(overwrite)
        different = [
            f"{key} {found.get(key)!r}, now {protocol.get(key)!r}"
            for key in sorted(protocol.keys() | found.keys())
            if found.get(key) != protocol.get(key)
        ]
        if different and overwrite:
            self.clear()
            write_sealed(file, protocol)
        elif different:
            raise UserError(
                f"{self.path} holds images made with other settings ({'; '.join(different)}). "
                "Choose another --out, or start it again with --overwrite."
            )

    def _found(self, overwrite: bool) -> dict[str, Any]:
        """The protocol that is here; nothing of a damaged one that may be replaced."""
        try:
            found = read_protocol(self.path)
        except NotPermitted:
            raise
        except UserError:
            if not overwrite:
                raise
            return {}
        return found | {"world": world_of(found)} | {"spacing": spacing_of(found)}

    def missing(self, tasks: list[ImageTask]) -> list[ImageTask]:
        """The tasks whose image is not here yet, or was emptied by a power cut."""
        return [task for task in tasks if not _has_content(self.path / task.file_name)]

    def write_metadata(self, tasks: list[ImageTask], seed: int) -> None:
        """Write metadata.jsonl in the order of the tasks (imagefolder layout), once the images are on the disk."""
        for task in tasks:
            sync(self.path / task.file_name)
        sync(self.path)
        rows = (
            {
                "file_name": task.file_name,
                "prompt": task.prompt,
                "prompt_id": task.prompt_id,
                "image_index": task.image_index,
                "seed": seed,
            }
            for task in tasks
        )
        write_text(self.path / METADATA, "".join(to_json(row) + "\n" for row in rows))


def _has_content(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:
        return False
