"""The contact sheet: a few prompts and their images on one white page, for the eye."""

from __future__ import annotations

import textwrap
from itertools import groupby
from pathlib import Path

import matplotlib
from PIL import Image, ImageDraw, ImageFont

from ddecli.sampling.folder import ImageTask

MAX_PROMPTS = 8
MAX_COLUMNS = 8
SMALLEST, LARGEST = 96, 192
"""Smallest and largest side of a picture on the sheet, in pixels."""
MARGIN, GAP = 24, 8
FONT_SIZE = 14
"""Of DejaVu Sans, which comes with matplotlib and has Latin, Greek and Cyrillic letters."""
LINE_HEIGHT = 20
ROW_GAP = 20
INK = (32, 32, 32)


def contact_sheet(folder: Path, tasks: list[ImageTask]) -> Image.Image:
    """Draw the images of the first prompts, a prompt a row, its text above them.

    Small pictures are enlarged by a whole factor without smoothing, so that their pixels stay visible.
    """
    rows = [list(group) for _, group in groupby(tasks, key=lambda task: task.prompt_id)][:MAX_PROMPTS]
    columns = min(MAX_COLUMNS, max(len(row) for row in rows))
    with Image.open(folder / rows[0][0].file_name) as first:
        cell_width, cell_height = _cell_size(first.size)
    font = ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), FONT_SIZE)
    width = max(2 * MARGIN + columns * (cell_width + GAP) - GAP, 480)
    captions = [_caption(row[0].prompt, font, width - 2 * MARGIN) for row in rows]
    row_heights = [len(lines) * LINE_HEIGHT + 4 + cell_height for lines in captions]
    sheet = Image.new("RGB", (width, 2 * MARGIN + sum(row_heights) + ROW_GAP * (len(rows) - 1)), "white")
    draw = ImageDraw.Draw(sheet)
    top = MARGIN
    for row, lines, height in zip(rows, captions, row_heights, strict=True):
        for number, line in enumerate(lines):
            draw.text((MARGIN, top + number * LINE_HEIGHT), line, fill=INK, font=font)
        for column, task in enumerate(row[:columns]):
            with Image.open(folder / task.file_name) as image:
                enlarged = image.width < cell_width
                filter_ = Image.Resampling.NEAREST if enlarged else Image.Resampling.LANCZOS
                cell = image.convert("RGB").resize((cell_width, cell_height), filter_)
            sheet.paste(cell, (MARGIN + column * (cell_width + GAP), top + height - cell_height))
        top += height + ROW_GAP
    return sheet


def _cell_size(size: tuple[int, int]) -> tuple[int, int]:
    """Size of a picture on the sheet: a whole multiple of a small one, a large one made smaller."""
    width, height = size
    if width < SMALLEST:
        factor = -(-SMALLEST // width)
        return width * factor, height * factor
    factor = min(1.0, LARGEST / width)
    return round(width * factor), round(height * factor)


def _caption(text: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """At most two lines of text that fit into `width` pixels."""
    characters = max(8, int(width / max(font.getlength(text) / len(text), 1)))
    return textwrap.wrap(text, characters, max_lines=2, placeholder=" ...") or [text[:characters]]
