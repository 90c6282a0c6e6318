"""Two folders of pictures, the better and the worse, with equal names: `w/cat.png`, `l/cat.jpg`, `w/cat.txt`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from ddecli.core.encoding import read_text
from ddecli.core.errors import BadRow, UserError
from ddecli.core.files import sha256_text
from ddecli.core.inside import inside
from ddecli.core.picture_files import CAPTIONS, PictureFiles, key, list_pictures, say_left_out, say_read
from ddecli.data.pairs import Pair, Rejects
from ddecli.data.sources.base import PART_ROWS, Part, Source

Captions = Sequence[tuple[Path, dict[str, Path]]]
"""Folders, in the order in which a prompt is looked for, with the text files in each by the picture they belong to."""
NAMES = (("w", "l"), ("win", "lose"), ("winner", "loser"), ("chosen", "rejected"))


def side_folders(folder: Path) -> tuple[Path, Path] | None:
    """The folders of the better and the worse pictures, if there are such."""
    for better, worse in NAMES:
        if (folder / better).is_dir() and (folder / worse).is_dir():
            return folder / better, folder / worse
    return None


def pair_folders_source(folder: Path, sides: tuple[Path, Path]) -> Source:
    """Pairs of the pictures of equal name (their endings may differ).

    The prompt is a `.txt` (or `.caption`) of that name beside the better picture, beside the worse, or in the folder
    itself.

    Raises:
        UserError: there is no picture, or two pictures of one name in one folder.
    """
    listed = {place: list_pictures(place) for place in sides}
    better, worse = (by_name(side, listed[side]) for side in sides)
    left_out = sum((files.left_out for files in listed.values()), Counter[str]())
    names = sorted(better.keys() | worse.keys())
    if not names:
        held = say_left_out(left_out) if left_out else f"{say_read()} are read"
        raise UserError(f"{sides[0]} and {sides[1]} hold no pictures, only {held}.")
    captions = [
        (place, files.captions) for place, files in (*listed.items(), (folder, list_pictures(folder)))
    ]
    rows = [(name, better.get(name), worse.get(name)) for name in names]
    parts = []
    for start in range(0, len(rows), PART_ROWS):
        some = rows[start : start + PART_ROWS]
        digest = sha256_text("\n".join(f"{first} {second}" for _, first, second in some))[:12]
        name = f"pictures {some[0][0]} to {some[-1][0]} ({digest})"
        read = partial(_pairs, folder, sides, captions, some)
        parts.append(Part(name, read, len(some), None, _content(sides, some)))
    layout = f"folders {sides[0].name}/ and {sides[1].name}/ with pictures of equal names"
    return Source(str(folder.resolve()), layout, parts, left_out=left_out)


def _content(sides: tuple[Path, Path], rows: list[tuple[str, str | None, str | None]]) -> str:
    """Digest of what tells whether pictures are still the same without reading them: their sizes and times."""
    files = [(side / file) for row in rows for side, file in zip(sides, row[1:], strict=True) if file]
    return sha256_text("\n".join(f"{file.name} {state_of(file)}" for file in files))


def state_of(file: Path) -> str:
    """What tells whether a file is still the same without reading it: its size and time."""
    try:
        state = file.stat()
    except OSError:  # a link to nothing: a bad row when it is read
        return "missing"
    return f"{state.st_size} {state.st_mtime_ns}"


def by_name(side: Path, files: PictureFiles) -> dict[str, str]:
    """File names of a folder's pictures by their name without ending.

    Raises:
        UserError: two pictures have one name.
    """
    found: dict[str, str] = {}
    for file in files.pictures:
        name = key(file)
        if name in found:
            raise UserError(f"{side} has both {found[name]} and {file.name}: remove one of them.")
        found[name] = file.name
    return found


def _pairs(
    folder: Path,
    sides: tuple[Path, Path],
    captions: Captions,
    rows: list[tuple[str, str | None, str | None]],
    rejects: Rejects,
) -> Iterator[Pair]:
    for name, better, worse in rows:
        try:
            if better is None or worse is None:
                side = sides[0] if better is None else sides[1]
                raise BadRow("missing image", f"{side} has no picture named {name}")
            prompt = prompt_in(name, folder, captions)
            chosen, rejected = (
                inside(folder, side.relative_to(folder) / file)
                for side, file in zip(sides, (better, worse), strict=True)
            )
            yield Pair(prompt, chosen, rejected, name, str(folder))
        except BadRow as error:
            rejects.add(name, error)


def prompt_in(name: str, folder: Path, captions: Captions) -> str:
    """The text that belongs to the pictures of a name.

    Raises:
        BadRow: there is none, or it cannot be read.
    """
    for _, texts in captions:
        if name in texts:
            file = inside(folder, texts[name].relative_to(folder))
            try:
                prompt = read_text(file).strip()
            except UserError as error:
                raise BadRow("unreadable prompt", str(error)) from error
            if not prompt:
                raise BadRow("empty prompt", str(file))
            return prompt
    files, places = (" or ".join(map(str, each)) for each in (CAPTIONS, (place for place, _ in captions)))
    raise BadRow("missing prompt", f"no {name} with {files} in {places}")
