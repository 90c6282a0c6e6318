"""A contact sheet of the world: clean scenes, flaws at each scale, and preference pairs."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from ddecli.core.files import atomic_file
from ddecli.core.images import load_image
from ddecli.core.seeds import numpy_rng
from ddecli.sampling.sheet import GAP, INK, MARGIN, framed, page_font, wrapped
from ddecli.tinyworld.drawing import draw
from ddecli.tinyworld.pairs import world_pairs
from ddecli.tinyworld.scenes import COARSE, FINE, MIDDLE, Flaws, Scene, plain_caption, random_description

ENLARGED = 96
"""Side of a picture on the sheet, in pixels: three times its own."""
COLUMNS = 6
CELL_WIDTH, CELL_HEIGHT = 2 * ENLARGED + 4 * GAP, 160
TITLE_SIZE, TITLE_HEIGHT = 18, 32
TEXT_SIZE, LINE_HEIGHT = 11, 15

Cell = tuple[list[Image.Image], str]


def show_world(path: Path, seed: int = 0) -> None:
    """Draw the world's contact sheet as a PNG."""
    sections = [
        ("Scenes without flaws", _clean(seed)),
        ("Flaws: coarse, middle, fine (severity 0.9)", _flaws(seed)),
        ("Preference pairs: chosen left, rejected right", _pairs(seed)),
    ]
    rows = sum(-(-len(cells) // COLUMNS) for _, cells in sections)
    height = 2 * MARGIN + TITLE_HEIGHT * len(sections) + CELL_HEIGHT * rows
    sheet = Image.new("RGB", (2 * MARGIN + CELL_WIDTH * COLUMNS, height), "white")
    pen = ImageDraw.Draw(sheet)
    y = MARGIN
    for title, cells in sections:
        pen.text((MARGIN, y), title, fill=INK, font=page_font(TITLE_SIZE))
        y += TITLE_HEIGHT
        for index, cell in enumerate(cells):
            row, column = divmod(index, COLUMNS)
            _paste(sheet, pen, cell, MARGIN + column * CELL_WIDTH, y + row * CELL_HEIGHT)
        y += CELL_HEIGHT * -(-len(cells) // COLUMNS)
    with atomic_file(path) as temporary:
        sheet.save(temporary, "PNG")


def _paste(sheet: Image.Image, pen: ImageDraw.ImageDraw, cell: Cell, x: int, y: int) -> None:
    pictures, text = cell
    for number, picture in enumerate(pictures):
        sheet.paste(framed(picture, ENLARGED, ENLARGED), (x + number * (ENLARGED + GAP), y))
    font = page_font(TEXT_SIZE)
    for number, line in enumerate(wrapped(text, font, CELL_WIDTH - 2 * GAP, max_lines=3)):
        pen.text((x, y + ENLARGED + 4 + number * LINE_HEIGHT), line, fill=INK, font=font)


def _clean(seed: int) -> list[Cell]:
    rng = numpy_rng("show", "clean", seed)
    meant = [random_description(rng) for _ in range(2 * COLUMNS)]
    return [
        ([_picture(Scene(each, Flaws(), int(rng.integers(2**62))))], plain_caption(each)) for each in meant
    ]


def _flaws(seed: int) -> list[Cell]:
    rng = numpy_rng("show", "flaws", seed)
    cells = []
    for scale, kinds in (("coarse", COARSE), ("middle", MIDDLE), ("fine", FINE)):
        for kind in kinds:
            meant = random_description(rng)
            while meant.background is None:
                meant = random_description(rng)
            flaw: dict[str, Any] = {scale: kind, f"{scale}_severity": 0.9}
            flaws = Flaws(**flaw)
            cells.append(
                ([_picture(Scene(meant, flaws, int(rng.integers(2**62))))], f"{kind}: {plain_caption(meant)}")
            )
    return cells


def _pairs(seed: int) -> list[Cell]:
    pairs = islice(world_pairs(1000, seed), 2 * COLUMNS)
    return [([_decoded(pair.chosen), _decoded(pair.rejected)], pair.prompt) for pair in pairs]


def _picture(scene: Scene) -> Image.Image:
    return Image.fromarray(np.asarray(draw(scene)))


def _decoded(picture: bytes | Path | None) -> Image.Image:
    assert isinstance(picture, bytes)
    return load_image(picture)
