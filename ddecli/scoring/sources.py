"""Which images to score, with which prompts: a sample folder, or anybody's images."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from ddecli.core.console import console
from ddecli.core.encoding import read_text
from ddecli.core.errors import BadRow, UserError
from ddecli.core.files import sha256_file
from ddecli.core.images import open_image
from ddecli.core.inside import inside
from ddecli.core.paths import readable_file
from ddecli.core.picture_files import CAPTIONS, PictureFiles, key, list_pictures, say_left_out, say_read
from ddecli.core.prompt_rows import load_prompt_rows, row_id
from ddecli.core.prompts import COLUMNS, PromptRow, column_of, read_prompt_rows
from ddecli.core.protocol import (
    CONTACT_SHEET,
    LOGITS,
    METADATA,
    PROTOCOL,
    SAMPLE_AGAIN,
    check_listing,
    clean_prompt,
    prompt_id,
    read_protocol,
)
from ddecli.core.text import is_text
from ddecli.core.text_tables import SUFFIXES, place, read_items, read_rows
from ddecli.core.world import TINY, WORLD_PIXELS, world_of

METADATA_CSV = "metadata.csv"
FILE_NAME = "file_name"
ROWS_TRIED = 100
NO_PROMPTS = (
    "give --prompt TEXT (one for all), --prompts FILE, metadata.jsonl or .csv, or a .txt beside each image"
)


@dataclass(frozen=True)
class ScoredImage:
    """An image file with its prompt and its number among the images of that prompt."""

    path: Path
    prompt: str
    prompt_id: str
    image_index: int


@dataclass
class ImageSet:
    """The images of one source.

    `bad` rows cannot be used; `folder` is None for files given by name; `left_out` counts other files by their ending;
    `prompts_file` is the list of prompts that was given with them.
    """

    name: str
    images: list[ScoredImage]
    bad: list[tuple[str, BadRow]] = field(default_factory=list)
    folder: Path | None = None
    protocol: dict[str, Any] | None = None
    left_out: dict[str, int] = field(default_factory=dict)
    prompts_file: Path | None = None

    @cached_property
    def rows(self) -> list[PromptRow]:
        """What is known of the prompts: the rows of the list given, else those that a sample keeps, else none.

        Raises:
            UserError: they are damaged.
        """
        if self.prompts_file is not None:
            return read_prompt_rows(self.prompts_file)
        return load_prompt_rows(self.folder) if self.folder is not None and self.protocol is not None else []

    @cached_property
    def images_sha256(self) -> str:
        """SHA-256 over which image is which, and the bytes of each; one that cannot be read counts as empty."""
        digest = hashlib.sha256()
        for image in self.images:
            try:
                content = sha256_file(image.path)
            except UserError:  # it is told of when it is to be scored
                content = ""
            digest.update(f"{image.prompt_id} {image.image_index} {content}\n".encode())
        return digest.hexdigest()


def read_source(paths: list[Path], prompt: str | None = None, prompts_file: Path | None = None) -> ImageSet:
    """Read one folder of images, or image files given by name, with their prompts.

    Prompts come from `prompt` (one for all), else `prompts_file`, else the folder's metadata.jsonl or
    metadata.csv, else a `.txt` file beside each image. A sample knows its prompts: a `prompts_file` that does not name
    images must be the list they are of.

    Raises:
        UserError: missing path, no images, no prompts, an empty prompt, or counts that do not match.
    """
    if prompt is not None and prompts_file is not None:
        raise UserError("Give either --prompt or --prompts, not both.")
    if prompt is not None and not clean_prompt(prompt):
        raise UserError("--prompt is empty: give the text the images were made for.")
    is_folder = [path.is_dir() for path in paths]
    for path, folder in zip(paths, is_folder, strict=True):
        if not folder:
            readable_file(path)
    if any(is_folder):
        if len(paths) > 1:
            raise UserError("Give folders, or image files, not both.")
        return _read_folder(paths[0], prompt, prompts_file)
    source = ImageSet(", ".join(path.name for path in paths[:3]) + (" ..." if len(paths) > 3 else ""), [])
    source.prompts_file = prompts_file
    beside = prompt is None and prompts_file is None
    given = [{"path": path, "caption": _caption(path) if beside else None} for path in paths]
    _add(source, _with_prompts(given, prompt, prompts_file, Path()))
    if source.bad:
        raise UserError(f"{source.bad[0][0]}: {source.bad[0][1]}; {NO_PROMPTS}.")
    return source


def image_files(folder: Path) -> PictureFiles:
    """What a folder holds, without a sample's contact sheet; that files were left out is said.

    Raises:
        UserError: the folder is missing or has no image files.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} does not exist.")
    files = list_pictures(folder, {CONTACT_SHEET, LOGITS})
    left_out = say_left_out(files.left_out) if files.left_out else ""
    if not files.pictures:
        raise UserError(f"{folder} has no image files, {f'only {left_out}' if left_out else say_read()}.")
    if left_out:
        console.print(f"Left out of {folder}: {left_out}.")
    return files


def world_of_images(
    name: str, protocol: Mapping[str, Any] | None, files: Iterable[Path], otherwise: str
) -> str | None:
    """The world of pictures, None for real ones: as their protocol has it.

    Where there is none, pictures of exactly the tiny world's size are taken for its own, and that is said.

    Args:
        name: what the message calls the pictures.
        otherwise: the option that says they are not.
    """
    if protocol is not None:
        return world_of(protocol)
    if _first_size(files) != (WORLD_PIXELS, WORLD_PIXELS):
        return None
    console.print(
        f"Nothing tells where the pictures of {name} come from: having {WORLD_PIXELS} pixels, they are taken for "
        f"drawings of the tiny world. If they are not, give {otherwise}.",
    )
    return TINY


def _first_size(files: Iterable[Path]) -> tuple[int, int] | None:
    """Width and height of the first image that can be read."""
    for file in files:
        try:
            with open_image(file) as image:
                return image.size
        except BadRow:
            continue
    return None


def protocol_of(folder: Path) -> dict[str, Any] | None:
    """The protocol of a sample folder; None for anybody's images.

    Raises:
        UserError: the sample is not finished.
    """
    if not (folder / PROTOCOL).exists():
        return None
    if not (folder / METADATA).exists():
        raise UserError(f"{folder} is not finished: {SAMPLE_AGAIN}.")
    return read_protocol(folder)


def _read_folder(folder: Path, prompt: str | None, prompts_file: Path | None) -> ImageSet:
    source = ImageSet(str(folder), [], folder=folder, protocol=protocol_of(folder), prompts_file=prompts_file)
    knows = prompts_file is None or (source.protocol is not None and not _names_files(prompts_file))
    if prompt is None and knows and (folder / METADATA).exists():
        _add(source, _metadata_rows(folder / METADATA, folder))
        if source.protocol is not None:
            names = [(image.path.name, image.prompt, image.image_index) for image in source.images]
            names += [(name, "", -1) for name, _ in source.bad]
            check_listing(folder, source.protocol, names)
            _check_list(source)
    elif prompt is None and prompts_file is None and (folder / METADATA_CSV).exists():
        _add(source, _metadata_rows(folder / METADATA_CSV, folder))
    else:
        files = image_files(folder)
        source.left_out = dict(files.left_out)
        listed = [
            _found(folder, file.name) | {"caption": files.captions.get(key(file))} for file in files.pictures
        ]
        _add(source, _with_prompts(listed, prompt, prompts_file, folder))
    if not source.images:
        reason = f" (first: {source.bad[0][0]}: {source.bad[0][1]})" if source.bad else ""
        raise UserError(f"{folder} has no image with a prompt{reason}: {NO_PROMPTS}.")
    return source


def _with_prompts(
    files: list[dict[str, Any]], prompt: str | None, prompts_file: Path | None, folder: Path
) -> Iterator[dict[str, Any]]:
    if prompt is not None:
        yield from ({**file, "prompt": prompt} for file in files)
    elif prompts_file is None:
        yield from ({**_sidecar(file["caption"]), **file} for file in files)
    elif _names_files(prompts_file):
        yield from _metadata_rows(prompts_file, folder)
    else:
        rows = read_prompt_rows(prompts_file)
        if len(rows) != len(files):
            raise UserError(
                f"{prompts_file} has {len(rows)} prompts for {len(files)} images: give one an image, or a table "
                "with a column file_name."
            )
        yield from ({**file, "prompt": row.prompt} for file, row in zip(files, rows, strict=True))


def _check_list(source: ImageSet) -> None:
    """Refuse a list of prompts that a sample is not of."""
    if source.prompts_file is None:
        return
    listed = {row_id(row) for row in source.rows}
    other = next((image for image in source.images if image.prompt_id not in listed), None)
    if other is not None:
        raise UserError(
            f'{source.prompts_file} has no prompt "{other.prompt[:80]}", of which {source.name} has an image: give the '
            "list that it was sampled from, or a table with a column file_name."
        )


def _caption(image: Path) -> Path | None:
    """The text file beside an image that was given by its name."""
    files = (image.with_suffix(ending) for ending in CAPTIONS)
    return next((file for file in files if file.is_file()), None)


def _sidecar(caption: Path | None) -> dict[str, Any]:
    """The `prompt` in the text file beside an image, or the `error` where it cannot be read, or lies elsewhere."""
    if caption is None:
        return {"prompt": None}
    try:
        return {"prompt": read_text(inside(caption.parent, caption.name))}
    except BadRow as error:
        return {"error": error}
    except UserError as error:
        return {"error": BadRow("unreadable prompt", str(error))}


def _names_files(table: Path) -> bool:
    """Whether a table says of each prompt which image it belongs to."""
    if table.suffix.lower() not in SUFFIXES:
        return False
    return any(
        isinstance(row, dict) and FILE_NAME in row for _, row, _ in islice(read_items(table), ROWS_TRIED)
    )


def _metadata_rows(file: Path, folder: Path) -> Iterator[dict[str, Any]]:
    """Rows of a metadata file, each with the image's `path`; what is wrong with a row is its `error`."""
    for number, row, _ in read_rows(file):
        name = None if isinstance(row, BadRow) else row.get(FILE_NAME)
        if isinstance(row, BadRow) or not isinstance(name, str) or not name:
            error = row if isinstance(row, BadRow) else BadRow("row without file_name")
            yield {"path": Path(f"{file.name}, {place(file, number)}"), "error": error}
        else:
            column = column_of(list(row), COLUMNS)
            yield {**row, **_found(folder, name), "prompt": row[column] if column else None}


def _found(folder: Path, name: str) -> dict[str, Any]:
    """The `path` of an image of a folder, or the `error` where it lies elsewhere."""
    try:
        return {"path": inside(folder, name)}
    except BadRow as error:
        return {"path": Path(name), "error": error}


def _add(source: ImageSet, rows: Iterable[dict[str, Any]]) -> None:
    """Add rows to a source; images of one prompt without an `image_index` are numbered in order."""
    numbers: Counter[str] = Counter()
    seen: set[tuple[str, int]] = set()
    for row in rows:
        try:
            image = _scored_image(row, numbers)
            if (image.prompt_id, image.image_index) in seen:
                raise BadRow("repeated row", f"image {image.image_index} of prompt {image.prompt_id}")
        except BadRow as error:
            source.bad.append((str(row["path"]), error))
        else:
            seen.add((image.prompt_id, image.image_index))
            source.images.append(image)


def _scored_image(row: dict[str, Any], numbers: Counter[str]) -> ScoredImage:
    if "error" in row:
        raise row["error"]
    prompt = row.get("prompt")
    if prompt is None:
        raise BadRow("no prompt")
    if not isinstance(prompt, str) or not clean_prompt(prompt):
        raise BadRow("empty prompt")
    if not is_text(prompt):
        raise BadRow("prompt is no Unicode text", "it holds half of a surrogate pair")
    prompt = clean_prompt(prompt)
    identifier = prompt_id(prompt)
    index = row.get("image_index")
    if index is None or index == "":
        index = numbers[identifier]
    try:
        index = int(index)
        if not 0 <= index < 2**31:
            raise ValueError("too large, or negative")
    except (TypeError, ValueError, OverflowError) as error:
        raise BadRow("image_index is no number", str(index)) from error
    numbers[identifier] += 1
    return ScoredImage(row["path"], prompt, identifier, index)


def require_same_prompts(left: ImageSet, right: ImageSet) -> None:
    """Refuse to compare images of different prompts.

    Raises:
        UserError: names the first prompt that only one of them has.
    """
    for source, other in ((left, right), (right, left)):
        prompts = {image.prompt_id: image.prompt for image in source.images}
        for image in other.images:
            prompts.pop(image.prompt_id, None)
        if prompts:
            first = next(iter(prompts.values()))[:60]
            raise UserError(
                f"{left.name} and {right.name} have different prompts: {len(prompts)} are in "
                f'{source.name} only, first "{first}". Make both for the same prompts.'
            )
