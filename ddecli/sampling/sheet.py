"""The contact sheet: a few prompts and their images on one white page, for the eye."""

from __future__ import annotations

import contextlib
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import matplotlib
from PIL import Image, ImageDraw, ImageFont, ImageOps

from ddecli.core.errors import BadRow
from ddecli.core.images import load_image, open_image
from ddecli.sampling.folder import ImageTask

MAX_PROMPTS = 8
MAX_COLUMNS = 8
SMALLEST, LARGEST = 96, 192
"""Smallest and largest side of a picture on the sheet, in pixels."""
MARGIN, GAP = 24, 8
FONT_SIZE = 14
MONO = "DejaVuSansMono.ttf"
LINE_HEIGHT = 20
ROW_GAP = 20
GROUP_GAP = 32
FRAME = (208, 208, 208)
INK = (32, 32, 32)


@dataclass(frozen=True)
class Row:
    """A prompt and its pictures, in one or more groups that stand side by side."""

    prompt: str
    groups: tuple[list[Path], ...]


def contact_sheet(folder: Path, tasks: list[ImageTask]) -> Image.Image:
    """Draw the images of the first prompts, a prompt a row, its text above them.

    Small pictures are enlarged by a whole factor without smoothing, so that their pixels stay visible.
    """
    prompts = [list(group) for _, group in groupby(tasks, key=lambda task: task.prompt_id)]
    return draw_sheet([Row(row[0].prompt, ([folder / task.file_name for task in row],)) for row in prompts])


def draw_sheet(
    rows: list[Row], titles: tuple[str, ...] = (), columns: int = MAX_COLUMNS, notes: Sequence[str] = ()
) -> Image.Image:
    """Draw rows of pictures on a white page.

    Args:
        rows: at most the first `MAX_PROMPTS` are drawn.
        titles: a title over each group of columns.
        columns: most pictures a group.
        notes: lines below them, in letters of one width.
    """
    rows = rows[:MAX_PROMPTS]
    columns = min(columns, max(len(group) for row in rows for group in row.groups))
    cell_width, cell_height = _cell_size(_first_size(rows))
    font = page_font(FONT_SIZE)
    group_width = columns * (cell_width + GAP) + GROUP_GAP
    width = max(2 * MARGIN + len(rows[0].groups) * group_width - GAP - GROUP_GAP, 480)
    captions = [wrapped(row.prompt, font, width - 2 * MARGIN) for row in rows]
    row_heights = [len(lines) * LINE_HEIGHT + 4 + cell_height for lines in captions]
    head = LINE_HEIGHT + ROW_GAP // 2 if titles else 0
    foot = ROW_GAP + len(notes) * LINE_HEIGHT if notes else 0
    height = 2 * MARGIN + head + sum(row_heights) + ROW_GAP * (len(rows) - 1) + foot
    sheet = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(sheet)
    for number, title in enumerate(titles):
        draw.text(
            (MARGIN + number * group_width, MARGIN),
            title,
            fill=INK,
            font=page_font(FONT_SIZE + 2),
        )
    top = MARGIN + head
    for row, lines, height in zip(rows, captions, row_heights, strict=True):
        for number, line in enumerate(lines):
            draw.text((MARGIN, top + number * LINE_HEIGHT), line, fill=INK, font=font)
        for number, group in enumerate(row.groups):
            for column, path in enumerate(group[:columns]):
                left = MARGIN + number * group_width + column * (cell_width + GAP)
                cell = framed(_picture(path), cell_width, cell_height)
                sheet.paste(cell, (left, top + height - cell_height))
        top += height + ROW_GAP
    for number, note in enumerate(notes):
        draw.text((MARGIN, top + number * LINE_HEIGHT), note, fill=INK, font=page_font(FONT_SIZE - 2, MONO))
    return sheet


def page_font(size: int, name: str = "DejaVuSans.ttf") -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib and has Latin, Greek and Cyrillic letters; `size` in pixels."""
    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts", "ttf", name), size)


def framed(picture: Image.Image, width: int, height: int) -> Image.Image:
    """A picture at its size on a page, in pixels, with a thin frame: a white picture shows its edge."""
    filter_ = Image.Resampling.NEAREST if picture.width < width else Image.Resampling.LANCZOS
    cell = picture.convert("RGB").resize((width, height), filter_)
    return ImageOps.expand(ImageOps.crop(cell, 1), 1, FRAME)


def wrapped(text: str, font: ImageFont.FreeTypeFont, width: int, max_lines: int = 2) -> list[str]:
    """The lines of a text that fit into `width` pixels, at most `max_lines`; what is left over is cut."""
    characters = max(8, int(width / max(font.getlength(text) / len(text), 1)))
    return textwrap.wrap(text, characters, max_lines=max_lines, placeholder=" ...") or [text[:characters]]


def _first_size(rows: list[Row]) -> tuple[int, int]:
    """Size of the first picture that can be read, in pixels."""
    for path in (path for row in rows for group in row.groups for path in group):
        with contextlib.suppress(BadRow), open_image(path) as picture:
            return picture.size
    return LARGEST, LARGEST


def _picture(path: Path) -> Image.Image:
    """A picture, or an empty one in the place of what cannot be read: who scores has listed it."""
    try:
        return load_image(path)
    except BadRow:
        return Image.new("RGB", (LARGEST, LARGEST), "white")


def _cell_size(size: tuple[int, int]) -> tuple[int, int]:
    """Size of a picture on the sheet: a whole multiple of a small one, a large one made smaller."""
    width, height = size
    if width < SMALLEST:
        enlarged = -(-SMALLEST // width)
        return width * enlarged, height * enlarged
    factor = min(1.0, LARGEST / width)
    return round(width * factor), round(height * factor)
