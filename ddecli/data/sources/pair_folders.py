"""Two folders of pictures, the better and the worse, with equal names: `w/cat.png`, `l/cat.jpg`, `w/cat.txt`."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from ddecli.core.encoding import read_text
from ddecli.core.errors import BadRow, UserError
from ddecli.core.files import sha256_text
from ddecli.core.images import IMAGE_SUFFIXES
from ddecli.core.inside import inside
from ddecli.data.pairs import Pair, Rejects
from ddecli.data.sources.base import PART_ROWS, Part, Source

NAMES = (("w", "l"), ("win", "lose"), ("winner", "loser"), ("chosen", "rejected"))


def side_folders(folder: Path) -> tuple[Path, Path] | None:
    """The folders of the better and the worse pictures, if there are such."""
    for better, worse in NAMES:
        if (folder / better).is_dir() and (folder / worse).is_dir():
            return folder / better, folder / worse
    return None


def pair_folders_source(folder: Path, sides: tuple[Path, Path]) -> Source:
    """Pairs of the pictures of equal name (their endings may differ).

    The prompt is a `.txt` of that name beside the better picture, beside the worse, or in the folder itself.

    Raises:
        UserError: there is no picture, or two pictures of one name in one folder.
    """
    better, worse = (_pictures(side) for side in sides)
    names = sorted(better.keys() | worse.keys())
    if not names:
        raise UserError(f"{sides[0]} and {sides[1]} hold no pictures ({', '.join(sorted(IMAGE_SUFFIXES))}).")
    rows = [(name, better.get(name), worse.get(name)) for name in names]
    parts = []
    for start in range(0, len(rows), PART_ROWS):
        some = rows[start : start + PART_ROWS]
        listed = sha256_text("\n".join(f"{first} {second}" for _, first, second in some))[:12]
        name = f"pictures {some[0][0]} to {some[-1][0]} ({listed})"
        parts.append(Part(name, partial(_pairs, folder, sides, some), len(some), None, _content(sides, some)))
    layout = f"folders {sides[0].name}/ and {sides[1].name}/ with pictures of equal names"
    return Source(str(folder.resolve()), layout, parts)


def _content(sides: tuple[Path, Path], rows: list[tuple[str, str | None, str | None]]) -> str:
    """Digest of what tells whether pictures are still the same without reading them: their sizes and times."""
    states = [
        (file, (side / file).stat())
        for row in rows
        for side, file in zip(sides, row[1:], strict=True)
        if file
    ]
    return sha256_text("\n".join(f"{file} {state.st_size} {state.st_mtime_ns}" for file, state in states))


def _pictures(side: Path) -> dict[str, str]:
    """File names of a folder's pictures by their stem."""
    found: dict[str, str] = {}
    for file in side.iterdir():
        if file.suffix.lower() in IMAGE_SUFFIXES and not file.name.startswith("."):
            if file.stem in found:
                raise UserError(f"{side} has both {found[file.stem]} and {file.name}: remove one of them.")
            found[file.stem] = file.name
    return found


def _pairs(
    folder: Path,
    sides: tuple[Path, Path],
    rows: list[tuple[str, str | None, str | None]],
    rejects: Rejects,
) -> Iterator[Pair]:
    for name, better, worse in rows:
        try:
            if better is None or worse is None:
                side = sides[0] if better is None else sides[1]
                raise BadRow("missing image", f"{side} has no picture named {name}")
            prompt = _prompt(name, folder, sides)
            chosen, rejected = (
                inside(folder, side.relative_to(folder) / file)
                for side, file in zip(sides, (better, worse), strict=True)
            )
            yield Pair(prompt, chosen, rejected, name, str(folder))
        except BadRow as error:
            rejects.add(name, error)


def _prompt(name: str, folder: Path, sides: tuple[Path, Path]) -> str:
    places = (*sides, folder)
    for place in places:
        file = inside(folder, place.relative_to(folder) / f"{name}.txt")
        if file.is_file():
            try:
                prompt = read_text(file).strip()
            except UserError as error:
                raise BadRow("unreadable prompt", str(error)) from error
            if not prompt:
                raise BadRow("empty prompt", str(file))
            return prompt
    raise BadRow("missing prompt", f"no {name}.txt in {' or '.join(map(str, places))}")
