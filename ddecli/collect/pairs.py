"""Which pairs of pictures are voted on: those of one prompt, of two folders or of one."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations, groupby
from pathlib import Path
from typing import Any

from ddecli.core.console import progress
from ddecli.core.errors import UserError
from ddecli.core.files import sha256_file, sha256_text
from ddecli.core.picture_files import key, list_pictures
from ddecli.core.protocol import METADATA, drawn_with, image_seed
from ddecli.core.seeds import seed_of
from ddecli.scoring.sources import METADATA_CSV, ImageSet, ScoredImage, image_files, read_source

SAME = "two pictures that are the same"
ALONE = "picture without a partner"
UNREADABLE = "picture that cannot be read"
NO_PROMPT = "picture without a prompt"


@dataclass(frozen=True)
class Picture:
    """A picture of a given folder.

    Attributes:
        digest: SHA-256 of its file.
        source: the folder, as it was given.
        noise: the seed of the noise that it was sampled from, with what `drawn_with` says; None of other pictures.
    """

    path: Path
    digest: str
    source: str
    noise: dict[str, Any] | None = None


@dataclass(frozen=True)
class AskedPair:
    """Two pictures of one prompt, in the order of their digests.

    Attributes:
        id: made of the prompt and of what the pictures hold, wherever they lie and whatever they are called.
    """

    id: str
    prompt: str
    pictures: tuple[Picture, Picture]


@dataclass
class Asked:
    """The pairs to ask, and how much of what the folders hold is in none, by the reason."""

    pairs: list[AskedPair]
    left_out: Counter[str] = field(default_factory=Counter)


def pairs_of(
    folders: Sequence[Path],
    prompt: str | None = None,
    prompts_file: Path | None = None,
    limit: int | None = None,
    seed: int = 0,
) -> Asked:
    """The pairs of pictures of one prompt.

    Of several folders every two are set against each other, pictures that have the same number among those of their
    prompt; where a folder has no prompts, pictures that have the same name as in one that has some. Of one folder
    every two pictures of a prompt are a pair.

    Args:
        prompt: of all pictures.
        prompts_file: prompts as `read_source` takes them.
        limit: so many pairs are drawn at random, by `seed`, if there are more.

    Raises:
        UserError: a folder is missing or given twice, has no pictures or no prompts, or there are no pairs.
    """
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise UserError("One folder is given twice: its pictures would be set against themselves.")
    sources = _sources(folders, prompt, prompts_file)
    asked = Asked([])
    asked.left_out[NO_PROMPT] = sum(len(source.bad) for source in sources)
    matched = list(_matched(sources))
    used = {image.path for two in matched for image in two}
    asked.left_out[ALONE] = sum(image.path not in used for source in sources for image in source.images)
    if not matched:
        raise UserError(_nothing(folders))
    pictures = _read(sorted(used), sources)
    asked.left_out[UNREADABLE] = len(used) - len(pictures)
    found: dict[str, AskedPair] = {}
    for first, second in matched:
        if first.path in pictures and second.path in pictures:
            pair = _pair(first.prompt, pictures[first.path], pictures[second.path])
            if pair.pictures[0].digest == pair.pictures[1].digest:
                asked.left_out[SAME] += 1
            else:
                found.setdefault(pair.id, pair)
    asked.left_out = +asked.left_out
    if not found:
        raise UserError(
            f"{_named(folders)}: nothing is left to vote on, there are only {said(asked.left_out)}."
        )
    asked.pairs = sorted(found.values(), key=lambda pair: seed_of(seed, "limit", pair.id))[:limit]
    return asked


def said(left_out: Counter[str]) -> str:
    """How much was left out and why, for people."""
    return ", ".join(f"{count} x {reason}" for reason, count in sorted(left_out.items()))


def _sources(folders: Sequence[Path], prompt: str | None, prompts_file: Path | None) -> list[ImageSet]:
    """The pictures of each folder with their prompts; a folder that has none takes them from the others, by name."""
    for folder in folders:
        if folder.exists() and not folder.is_dir():
            raise UserError(f"{folder} is not a folder: give folders of pictures.")
    given = prompt is not None or prompts_file is not None
    known = {
        folder: read_source([folder], prompt, prompts_file)
        for folder in folders
        if given or _has_prompts(folder)
    }
    if given:  # which image of a sample one is, its own list says alone
        known = {folder: replace(source, protocol=None) for folder, source in known.items()}
    named = {key(image.path): image for source in known.values() for image in source.images}
    if not named:
        read_source([folders[0]])  # says what is missing
    return [known[folder] if folder in known else _by_name(folder, named) for folder in folders]


def _has_prompts(folder: Path) -> bool:
    if (folder / METADATA).exists() or (folder / METADATA_CSV).exists():
        return True
    return not folder.is_dir() or bool(list_pictures(folder).captions)


def _by_name(folder: Path, named: dict[str, ScoredImage]) -> ImageSet:
    source = ImageSet(str(folder), [], folder=folder)
    for file in image_files(folder).pictures:
        if key(file) in named:
            source.images.append(replace(named[key(file)], path=file))
    return source


def _matched(sources: Sequence[ImageSet]) -> Iterator[tuple[ScoredImage, ScoredImage]]:
    if len(sources) == 1:
        images = sorted(sources[0].images, key=lambda image: image.prompt_id)
        for _, together in groupby(images, key=lambda image: image.prompt_id):
            yield from combinations(together, 2)
        return
    numbered = [
        {(image.prompt_id, image.image_index): image for image in source.images} for source in sources
    ]
    for first, second in combinations(numbered, 2):
        yield from ((image, second[place]) for place, image in first.items() if place in second)


def _read(paths: Sequence[Path], sources: Sequence[ImageSet]) -> dict[Path, Picture]:
    """What files hold; those that cannot be read are left out."""
    origins = {image.path: (source, image) for source in sources for image in source.images}
    found = {}
    with progress("Reading pictures", len(paths), unit="pictures") as advance:
        for path in paths:
            with contextlib.suppress(UserError):  # counted by whoever asked
                source, image = origins[path]
                found[path] = Picture(path, sha256_file(path), source.name, _noise(source, image))
            advance()
    return found


def _noise(source: ImageSet, image: ScoredImage) -> dict[str, Any] | None:
    protocol = source.protocol or {}
    drawn = drawn_with(protocol)
    return drawn and {"seed": image_seed(image.prompt, image.image_index, protocol["seed"])} | drawn


def _pair(prompt: str, *pictures: Picture) -> AskedPair:
    first, second = sorted(pictures, key=lambda picture: picture.digest)
    return AskedPair(sha256_text(f"{prompt}\n{first.digest}\n{second.digest}")[:12], prompt, (first, second))


def _named(folders: Sequence[Path]) -> str:
    return " and ".join(map(str, folders))


def _nothing(folders: Sequence[Path]) -> str:
    if len(folders) == 1:
        return (
            f"{folders[0]} has no two pictures of one prompt: sample it with --images-per-prompt 2 or more, or give a "
            "second folder."
        )
    return (
        f"{_named(folders)} have no pictures of one prompt in common: sample both for the same prompts, or give their "
        "pictures equal names."
    )
