"""Images of the same prompts and seeds side by side (Figs. 4 and 6 of the paper).

No picture is picked by hand: the prompts are spread evenly over the prompt set, and the image's number is the same
everywhere.
"""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from pydantic import BaseModel, NonNegativeInt

from ddecli.core.errors import BadRow, UserError
from ddecli.core.images import load_image
from ddecli.core.inside import inside
from ddecli.core.protocol import METADATA, PROTOCOL, check_listing, read_protocol
from ddecli.core.scores import ScoreSet, check_same_protocol
from ddecli.core.text_tables import read_records
from ddecli.figures.save import Numbers
from ddecli.figures.style import PAGE, literal, title_lines
from ddecli.stats.rows import Folders

DPI = 300
TEXT, GAP, BORDER = 420, 15, 12
"""Width of the prompts, space between pictures and around all, in dots."""
LARGEST = 330
"""Side of a picture, in dots; less when many stand side by side."""
LETTER, LINE = 19, 42
"""Mean width of a letter and height of a line of text, in dots."""
LETTERS = TEXT // LETTER
FEWEST_LETTERS = 6
"""In a line above a picture; where there is room for fewer, labels are turned."""
TITLE_GAP = 24
"""Space below the title, in dots."""


class _Row(BaseModel):
    """A line of metadata.jsonl."""

    file_name: str
    prompt: str
    prompt_id: str
    image_index: NonNegativeInt


def numbers(folders: Folders, prompts: int = 6, image_index: int = 0) -> Numbers:
    """Which pictures stand where.

    Args:
        folders: a sample folder by label, the base first.
        prompts: how many, spread evenly over the prompt set in its order, first and last included.
        image_index: number of the picture among those of its prompt.

    Raises:
        UserError: no rows, several folders of a label, no sample folder, mixed protocols, or no such picture.
    """
    if not folders:
        raise UserError("The figure needs sample folders: BASE=images/tiny DDE=images/tiny-dde.")
    for label, given in folders.items():
        if len(given) > 1:
            raise UserError(f"{label} has {len(given)} folders: a column shows the images of one.")
    samples = {label: _sample(Path(given[0])) for label, given in folders.items()}
    check_same_protocol(
        [ScoreSet(str(given[0]), protocol=read_protocol(Path(given[0]))) for given in folders.values()]
    )
    first = next(iter(samples.values()))
    texts = {row["prompt_id"]: row["prompt"] for row in first.values()}
    chosen = np.unique(np.linspace(0, len(texts) - 1, min(prompts, len(texts))).round().astype(int))
    shown = []
    for prompt_id in np.array(list(texts))[chosen].tolist():
        files = {}
        for label, sample in samples.items():
            if (prompt_id, image_index) not in sample:
                raise UserError(
                    f'{folders[label][0]} has no image {image_index} of "{texts[prompt_id]}": '
                    "choose another --image-index."
                )
            files[label] = _file(Path(folders[label][0]), sample[prompt_id, image_index])
        shown.append({"prompt_id": prompt_id, "prompt": texts[prompt_id], "files": files})
    return {
        "figure": "images",
        "rows": dict(folders),
        "image_index": image_index,
        "prompts": shown,
    }


def _sample(folder: Path) -> dict[tuple[str, int], dict[str, Any]]:
    """The rows of a sample's metadata by prompt and image number."""
    if not (folder / METADATA).is_file() or not (folder / PROTOCOL).is_file():
        raise UserError(f"{folder} is no finished sample: make its images with `ddecli sample`.")
    rows = read_records(folder / METADATA, "sample the images again", _Row)
    listed = [(row["file_name"], row["prompt"], row["image_index"]) for row in rows]
    check_listing(folder, read_protocol(folder), listed)
    return {(row["prompt_id"], row["image_index"]): row for row in rows}


def _file(folder: Path, row: dict[str, Any]) -> Path:
    """The picture that a row of a sample's metadata names."""
    try:
        return inside(folder, row["file_name"])
    except BadRow as error:
        raise UserError(f"{folder / METADATA} is damaged ({error}): sample the images again.") from error


def draw(numbers: Numbers) -> Figure:
    """A row a prompt, a column a label. Places are whole dots, so that enlarged pixels stay square."""
    rows, labels = numbers["prompts"], list(numbers["rows"])
    room = (PAGE * DPI - TEXT - 2 * BORDER) / len(labels) - GAP
    width, height = _cell(_picture(rows[0]["files"][labels[0]]).size, min(LARGEST, int(room)))
    page_width = 2 * BORDER + TEXT + len(labels) * (width + GAP) - GAP
    letters = (width + GAP) // LETTER
    turned = letters < FEWEST_LETTERS
    heads = [[label] if turned else textwrap.wrap(label, letters) for label in labels]
    title = title_lines(numbers["title"] or "", page_width / DPI)
    label_height = LETTER * max(map(len, labels)) if turned else LINE * max(len(lines) for lines in heads)
    head = label_height + GAP + (LINE * len(title) + TITLE_GAP if title else 0)
    page_height = 2 * BORDER + head + len(rows) * (height + GAP)
    figure = Figure(figsize=(page_width / DPI, page_height / DPI), dpi=DPI)
    if title:
        figure.suptitle("\n".join(title), y=1 - BORDER / page_height, va="top")
    for row, about in enumerate(rows):
        top = BORDER + head + row * (height + GAP)
        lines = textwrap.wrap(about["prompt"], LETTERS, max_lines=height // LINE, placeholder=" ...")
        _write(figure, lines, BORDER, top + height / 2 - len(lines) * LINE / 2, "left")
        for column, label in enumerate(labels):
            picture = _picture(about["files"][label])
            left = BORDER + TEXT + column * (width + GAP)
            place = (left / page_width, 1 - (top + height) / page_height)
            axis = figure.add_axes((*place, width / page_width, height / page_height), xticks=[], yticks=[])
            axis.imshow(_resized(picture, width, height), interpolation="none", aspect="auto")
            axis.spines[:].set(visible=True, color="#BBBBBB", linewidth=0.4)
            if row == 0 and turned:
                place = ((left + width / 2) / page_width, 1 - (top - 8) / page_height)
                figure.text(*place, literal(label), ha="center", va="bottom", rotation=90)
            elif row == 0:
                _write(figure, heads[column], left + width / 2, top - 8 - LINE * len(heads[column]), "center")
    return figure


def _write(figure: Figure, lines: list[str], x: float, top: float, align: Literal["left", "center"]) -> None:
    """Lines of text at equal distances, whatever letters they hold; places in dots from the upper left corner."""
    width, height = figure.get_size_inches() * DPI
    for number, line in enumerate(lines):
        baseline = 1 - (top + (number + 0.75) * LINE) / height
        figure.text(x / width, baseline, literal(line), ha=align, va="baseline")


def _picture(file: str) -> Image.Image:
    try:
        return load_image(Path(file))
    except BadRow as error:
        raise UserError(f"{file} cannot be shown ({error}): sample the images again.") from error


def _cell(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Size on the page: a whole multiple of a small picture, a large one made smaller."""
    factor: float = side / max(size)
    if factor >= 1:
        factor = int(factor)
    return round(size[0] * factor), round(size[1] * factor)


def _resized(picture: Image.Image, width: int, height: int) -> Image.Image:
    nearest, smooth = Image.Resampling.NEAREST, Image.Resampling.LANCZOS
    return picture.resize((width, height), nearest if picture.width <= width else smooth)
