"""Sheets of two models' images: the right pictures stand in the right places."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from ddecli.core.protocol import prompt_id
from ddecli.figures.beside import first_prompts, most_changed
from ddecli.scoring.sources import ImageSet, ScoredImage
from ddecli.stats.changes import Change, Changes

PROMPTS = [f"prompt {number}" for number in range(9)]
NEW = 100
"""What the green of a new picture has more than that of the old one."""


def images_of(folder: Path, green: int) -> ImageSet:
    """An image a prompt, one colour each: its red is 20 times the prompt's number."""
    folder.mkdir()
    images = []
    for number, prompt in enumerate(PROMPTS):
        path = folder / f"{number}.png"
        Image.new("RGB", (96, 96), (20 * number, green, 0)).save(path)
        images.append(ScoredImage(path, prompt, prompt_id(prompt), 0))
    return ImageSet(str(folder), images, folder=folder)


@pytest.fixture
def sets(tmp_path: Path) -> tuple[ImageSet, ImageSet]:
    return images_of(tmp_path / "new", NEW), images_of(tmp_path / "old", 0)


def colours(path: Path) -> list[tuple[int, ...]]:
    """Colours of the pictures on a sheet, the first seen first, row by row; text and frames are grey or thin."""
    with Image.open(path) as sheet:
        found = [
            sheet.getpixel((x, y)) for y in range(0, sheet.height, 40) for x in range(0, sheet.width, 40)
        ]
    return list(dict.fromkeys(each for each in found if each[2] == 0 and each[0] % 20 == 0))


def test_the_first_prompts(sets, tmp_path):
    path = first_prompts(*sets, tmp_path)
    assert path == tmp_path / "beside-old.png"
    expected = [colour for number in range(8) for colour in ((20 * number, 0, 0), (20 * number, NEW, 0))]
    assert colours(path) == expected


def test_those_that_changed_most_the_first_half_on_the_left(sets, tmp_path):
    order = [8, 3, 5]
    changed = [Change(prompt_id(PROMPTS[number]), 0, 3.0 - number) for number in order]
    path = most_changed(*sets, Changes(("clip",), 1, 2, changed), tmp_path)
    assert path == tmp_path / "beside-old-most-changed.png"
    expected = [
        colour for number in (8, 5, 3) for colour in ((20 * number, 0, 0), (20 * number, NEW, 0))
    ]  # row by row: the third stands at the top on the right
    assert colours(path) == expected


def test_one_image_has_a_sheet_of_its_own(sets, tmp_path):
    path = most_changed(*sets, Changes(("clip",), 1, 0, [Change(prompt_id(PROMPTS[4]), 0, 0.5)]), tmp_path)
    assert colours(path) == [(80, 0, 0), (80, NEW, 0)]
