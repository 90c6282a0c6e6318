"""What is exported: the rows of a benchmark with the images of their prompts."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from PIL import Image

from ddecli.core.errors import BadRow, UserError
from ddecli.core.images import load_image, open_image
from ddecli.core.prompt_rows import row_id
from ddecli.core.prompts import PromptRow
from ddecli.scoring.sources import ImageSet


@dataclass(frozen=True)
class Entry:
    """A row of a benchmark, its number among all rows from 0 on, and the images of its prompt in their order."""

    number: int
    row: PromptRow
    images: tuple[Path, ...]


@dataclass(frozen=True)
class Written:
    """What a layout made: how many images, and what the tool has to be told."""

    images: int
    about: str


def entries_of(source: ImageSet, rows: Sequence[PromptRow]) -> list[Entry]:
    """The rows that have images, in their order. A prompt that stands in two rows gives its images to both.

    Raises:
        UserError: an image cannot be used, or no row has one.
    """
    if source.bad:
        name, error = source.bad[0]
        raise UserError(f"{name} of {source.name} cannot be used: {error}.")
    ordered = sorted(source.images, key=lambda image: (image.prompt_id, image.image_index))
    images = {
        identifier: tuple(image.path for image in group)
        for identifier, group in groupby(ordered, key=lambda image: image.prompt_id)
    }
    found = [
        Entry(number, row, images[identifier])
        for number, row in enumerate(rows)
        if (identifier := row_id(row)) in images
    ]
    if not found:
        raise UserError(
            f"{source.name} has images of none of the {len(rows)} prompts: sample them with ddecli sample --prompts."
        )
    return found


def copy_png(image: Path, place: Path) -> None:
    """Put an image to its place: a PNG as it is, any other kind saved as one.

    Raises:
        UserError: it cannot be read.
    """
    try:
        with open_image(image) as opened:
            is_png = opened.format == "PNG"
        if is_png:
            shutil.copyfile(image, place)
        else:
            load_image(image).save(place, format="PNG")
    except BadRow as error:
        raise UserError(f"{image} cannot be exported: {error}.") from error


def grid(images: Sequence[Path], columns: int) -> Image.Image:
    """Images row by row on one page without margins, black where there is none.

    Raises:
        UserError: one cannot be read, or is of another size than the first.
    """
    try:
        pictures = [load_image(image) for image in images]
    except BadRow as error:
        raise UserError(f"An image cannot be exported: {error}.") from error
    width, height = pictures[0].size
    if any(picture.size != (width, height) for picture in pictures):
        raise UserError(
            f"{images[0]} and the other images of its prompt differ in size: a grid needs one size."
        )
    page = Image.new("RGB", (columns * width, -(-len(pictures) // columns) * height))
    for number, picture in enumerate(pictures):
        page.paste(picture, (number % columns * width, number // columns * height))
    return page
