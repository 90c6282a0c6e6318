"""WebDataset tars: files of one key are a sample, `000017.0.jpg`, `000017.1.jpg`, `000017.json`."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from ddecli.core.encoding import decode
from ddecli.core.errors import BadRow, UserError
from ddecli.core.files import sampled_sha256
from ddecli.core.images import SAVE_AS, check_bytes, image_suffixes
from ddecli.core.parsing import parse_json
from ddecli.core.paths import readable_file
from ddecli.core.picture_files import NOT_DECODED
from ddecli.data.columns import Columns, resolve_columns
from ddecli.data.pairs import Pair, Rejects
from ddecli.data.sources.base import Part, Source, Wanted
from ddecli.data.sources.split_names import of_split, splits_of
from ddecli.data.sources.tars import tar_files

SUFFIXES = (".tar", ".tar.gz", ".tgz")
SAMPLES_TRIED = 100
TEXTS = ("txt", "json")
FEWEST = 3
"""Columns of a pair; a sample of fewer is one in pieces, more likely than one with other names."""
Open = Callable[[], BinaryIO]


def is_tar(name: str) -> bool:
    """Whether a file is a tar, by its name."""
    return name.lower().endswith(SUFFIXES)


def webdataset_source(path: Path, wanted: Wanted) -> Source:
    """A tar, or the tars of a folder (at any depth, sorted by name). A part is a tar.

    A sample's columns are the keys of its `.json`, `prompt` from its `.txt`, and its pictures by what stands
    between key and ending (`0`, `chosen`, `jpg_0`, ...). Tars are streamed, nothing is unpacked on the disk.

    Raises:
        UserError: the first sample lacks a needed column, or there is no tar of the split.
    """
    files = [path]
    if path.is_dir():
        names = [str(file.relative_to(path)) for file in sorted(path.rglob("*")) if is_tar(file.name)]
        files = [path / name for name in of_split(splits_of(names), wanted.split, str(path))]
    parts = [
        tar_part(str(file), partial(_open, file), wanted, file.stat().st_size, sampled_sha256(file))
        for file in files
    ]
    layout = first_layout(str(files[0]), partial(_open, files[0]), wanted)
    return Source(str(path.resolve()), f"{len(files)} tar{'s'[: len(files) != 1]}: {layout}", parts)


def tar_part(name: str, opened: Open, wanted: Wanted, size: int | None, content: str = "") -> Part:
    """The part that a tar is."""
    return Part(PurePosixPath(name).name, partial(_pairs, name, opened, wanted), None, size, content)


def first_layout(name: str, opened: Open, wanted: Wanted) -> str:
    """Layout of a tar, from its first sample that has one.

    Raises:
        UserError: none of the first `SAMPLES_TRIED` has.
    """
    failure = f"{name} holds no sample."
    for key, row in islice(samples(name, opened), SAMPLES_TRIED):
        if isinstance(row, BadRow):
            failure = f"{name}, sample {key}: {row}."
            continue
        try:
            return resolve_columns(
                list(row), wanted.mapping, name, wanted.labelled, wanted.winners_only
            ).layout
        except UserError as error:
            failure = f"{_why_incomplete(key, row)}. {error}"
    raise UserError(failure)


def samples(name: str, opened: Open) -> Iterator[tuple[str, dict[str, Any] | BadRow]]:
    """Key and columns of each sample.

    Raises:
        UserError: the tar is damaged.
    """
    key, size = "", 0
    row: dict[str, Any] = {}
    bad: BadRow | None = None
    try:
        with opened() as file:
            for member, extract in tar_files(file):
                path = PurePosixPath(member.name)
                if path.name.startswith("."):
                    continue
                stem, _, field = path.name.partition(".")
                this = str(path.parent / stem)
                if this != key:
                    if row or bad:
                        yield key, bad or row
                    key, size, row, bad = this, 0, {}, None
                if bad or not _is_read(field):
                    continue
                try:
                    size += member.size
                    check_bytes(member.size, path.name)
                    check_bytes(size, f"the files of sample {stem} together")
                    extracted = extract()
                    assert extracted is not None  # it is a regular file
                    row |= _columns(field, extracted.read())
                except BadRow as error:
                    bad, row = error, {}
    except (tarfile.TarError, EOFError, OSError) as error:
        raise UserError(f"{name} is damaged behind sample {key or 0}: {error}. Fetch it again.") from error
    if row or bad:
        yield key, bad or row


def _open(file: Path) -> BinaryIO:
    return readable_file(file).open("rb")


def _is_read(field: str) -> bool:
    suffix = field.rpartition(".")[2].lower()
    return suffix in TEXTS or f".{suffix}" in image_suffixes() | NOT_DECODED


def _columns(field: str, content: bytes) -> dict[str, Any]:
    """Columns that a sample's file gives; `field` is what follows the key, such as `0.jpg` or `json`."""
    name, _, suffix = field.rpartition(".")
    suffix = suffix.lower()
    if f".{suffix}" in image_suffixes():
        return {name or suffix: content}
    if f".{suffix}" in NOT_DECODED:
        raise BadRow("unreadable image", f".{field} is not read: save it as {SAVE_AS}")
    try:
        text = decode(content, f".{field}")
        if suffix == "txt":
            return {name or "prompt": text.strip()}
        values = parse_json(text)
    except UserError as error:
        raise BadRow("malformed row", str(error)) from error
    except ValueError as error:
        raise BadRow("malformed row", f".{field}: {error}") from error
    if not isinstance(values, dict):
        raise BadRow("malformed row", f".{field} is no JSON object")
    return values


def _pairs(name: str, opened: Open, wanted: Wanted, rejects: Rejects) -> Iterator[Pair]:
    for key, row in samples(name, opened):
        row_id = f"{PurePosixPath(name).name}:{key}"
        try:
            if isinstance(row, BadRow):
                raise row
            yield from _resolved(key, row, wanted, name).pairs(row, row_id, name, None)
        except BadRow as error:
            rejects.add(row_id, error)


def _resolved(key: str, row: dict[str, Any], wanted: Wanted, name: str) -> Columns:
    """Columns of one sample: samples of a tar need not have the same files."""
    try:
        return resolve_columns(list(row), wanted.mapping, name, wanted.labelled, wanted.winners_only)
    except UserError as error:
        raise BadRow("incomplete sample", _why_incomplete(key, row)) from error


def _why_incomplete(key: str, row: dict[str, Any]) -> str:
    """What a sample has, and what made more samples of it, as far as that can be told."""
    has = f"Sample {key} has only {', '.join(row)}"
    if any("." in name for name in row):
        return f"{has}: its key ends at the first dot of a file's name, so a key may hold no dot; rename the files"
    if len(row) < FEWEST:
        return f"{has}: its files must stand side by side in the tar, as tar --sort=name packs them"
    return has
