"""A folder of pictures, each with its caption: `cat.png`, `cat.txt`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from ddecli.core.errors import BadRow
from ddecli.core.files import sha256_text
from ddecli.core.inside import inside
from ddecli.core.picture_files import list_pictures
from ddecli.data.pairs import Pair, Rejects
from ddecli.data.sources.base import PART_ROWS, Part, Source
from ddecli.data.sources.pair_folders import Captions, by_name, prompt_in, state_of


def captioned_source(folder: Path) -> Source | None:
    """Pictures that a `.txt` (or `.caption`) of their name describes; None where the folder has no pictures.

    Raises:
        UserError: the folder cannot be read, or holds two pictures of one name.
    """
    listed = list_pictures(folder)
    rows = sorted(by_name(folder, listed).items())
    if not rows:
        return None
    captions = [(folder, listed.captions)]
    parts = []
    for start in range(0, len(rows), PART_ROWS):
        some = rows[start : start + PART_ROWS]
        digest = sha256_text("\n".join(file for _, file in some))[:12]
        content = sha256_text("\n".join(f"{file} {state_of(folder / file)}" for _, file in some))
        name = f"pictures {some[0][0]} to {some[-1][0]} ({digest})"
        parts.append(Part(name, partial(_pairs, folder, captions, some), len(some), None, content))
    return Source(str(folder.resolve()), "pictures with captions", parts, left_out=listed.left_out)


def _pairs(
    folder: Path, captions: Captions, rows: Sequence[tuple[str, str]], rejects: Rejects
) -> Iterator[Pair]:
    for name, file in rows:
        try:
            yield Pair(prompt_in(name, folder, captions), inside(folder, file), None, name, str(folder))
        except BadRow as error:
            rejects.add(name, error)
