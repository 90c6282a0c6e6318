"""What a folder of pictures holds: the pictures, the texts that go with them, and what is neither."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ddecli.core.errors import UserError
from ddecli.core.images import SAVE_AS, image_suffixes

CAPTIONS = (".txt", ".caption")
"""Endings of a picture's prompt, upper or lower case; of two files the one with the first ending, in lower case."""
RECORDS = frozenset({".json", ".jsonl", ".csv", ".tsv", ".parquet", ".yaml", ".yml", ".md"})
"""Endings of what lies beside pictures and is none, nor meant to be one."""
FOLDER = "folder"
NOT_DECODED = frozenset({".heic", ".heif", ".hif", ".jxl"})
"""Endings of pictures in formats that Pillow does not read."""


@dataclass(frozen=True)
class PictureFiles:
    """The files of a folder.

    pictures: sorted by name.
    captions: the text files of pictures, by `key`.
    left_out: how many other files there are, by their ending.
    """

    pictures: list[Path] = field(default_factory=list)
    captions: dict[str, Path] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)


def key(file: Path) -> str:
    """By what a picture and its text belong together: the name without ending, in one Unicode form."""
    return unicodedata.normalize("NFC", file.stem)


def list_pictures(folder: Path, own: Container[str] = ()) -> PictureFiles:
    """What lies in a folder; hidden files are passed over.

    Args:
        own: names that are passed over too.

    Raises:
        UserError: the folder may not be read.
    """
    found = PictureFiles()
    try:
        files = sorted(folder.iterdir())
    except OSError as error:
        raise UserError(f"{folder} cannot be read: {error.strerror or error}.") from error
    for file in files:
        ending = file.suffix.lower()
        if file.name.startswith(".") or file.name in own:
            continue
        if ending in image_suffixes():
            found.pictures.append(file)
        elif ending in CAPTIONS:
            before = found.captions.setdefault(key(file), file)
            found.captions[key(file)] = min(before, file, key=_rank)
        elif file.is_dir():
            found.left_out[FOLDER] += 1
        elif ending not in RECORDS:
            found.left_out[ending or "without ending"] += 1
    return found


def count_left_out(left_out: Mapping[str, int]) -> str:
    """How many files of which endings were left out."""
    return ", ".join(f"{count} {ending}" for ending, count in sorted(left_out.items()))


def say_left_out(left_out: Mapping[str, int]) -> str:
    """How many files of which endings were left out, and what is read instead."""
    way_out = f"; save HEIC and JPEG XL as {SAVE_AS}" if NOT_DECODED & left_out.keys() else ""
    return f"{count_left_out(left_out)} ({say_read()} are read{way_out})"


def say_read() -> str:
    """The endings that are read, for people."""
    return ", ".join(sorted(image_suffixes()))


def _rank(file: Path) -> tuple[int, bool]:
    return CAPTIONS.index(file.suffix.lower()), file.suffix not in CAPTIONS
