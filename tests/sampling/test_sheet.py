"""The contact sheet's geometry, counted by hand, and that its words are on it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ddecli.sampling.sheet import FRAME, Row, _cell_size, draw_sheet, page_font, wrapped

COLOURS = [(200, 0, 0), (0, 200, 0), (0, 0, 200), (200, 200, 0), (0, 200, 200)]


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """Pictures of one colour, 100 x 50 pixels, which the sheet shows as they are."""
    paths = [tmp_path / f"{number}.png" for number in range(len(COLOURS))]
    for path, colour in zip(paths, COLOURS, strict=True):
        Image.new("RGB", (100, 50), colour).save(path)
    return paths


def has_ink(sheet: np.ndarray, top: int, left: int = 24, width: int = 200) -> bool:
    """Whether something dark stands in a line of text."""
    return bool((sheet[top : top + 20, left : left + width] < 100).all(axis=2).any())


@pytest.mark.parametrize("titles", [(), ("base", "tuned")])
def test_pictures_and_words_stand_where_they_should(pictures: list[Path], titles: tuple[str, ...]) -> None:
    rows = [
        Row("a red star", (pictures[:3], pictures[3:4])),
        Row("a star " * 40, (pictures[4:], pictures[:2])),
    ]
    sheet = np.asarray(draw_sheet(rows, titles, columns=2))
    head = 30 if titles else 0
    group = 2 * (100 + 8) + 32
    heights = [20 + 4 + 50, 2 * 20 + 4 + 50]  # the second prompt is cut to two lines
    assert sheet.shape == (2 * 24 + head + sum(heights) + 20, 2 * 24 + 2 * group - 8 - 32, 3)
    assert (sheet[:24] == 255).all() and (sheet[:, :24] == 255).all()
    for number in range(2):
        assert has_ink(sheet, 24, 24 + number * group) == (bool(titles) or number == 0)
    top = 24 + head
    for row, height in zip(rows, heights, strict=True):
        for line in range(height // 20 - 2):
            assert has_ink(sheet, top + 20 * line)
        for number, paths in enumerate(row.groups):
            for column, path in enumerate(paths[:2]):
                left = 24 + number * group + column * 108
                cell = sheet[top + height - 50 : top + height, left : left + 100]
                assert (cell[1:-1, 1:-1] == COLOURS[pictures.index(path)]).all()
                assert (cell[0] == FRAME).all() and (cell[:, -1] == FRAME).all()
        top += height + 20
    assert (sheet[top - 20 :] == 255).all()


def test_the_first_eight_prompts_are_shown_and_what_cannot_be_read_is_white(
    pictures: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    rows = [Row(str(number), ([tmp_path / "broken.png", pictures[0]],)) for number in range(12)]
    sheet = np.asarray(draw_sheet(rows))
    assert sheet.shape == (2 * 24 + 8 * (24 + 50) + 7 * 20, 480, 3)
    assert (sheet[48 + 25, 24 + 50] == 255).all()
    assert tuple(sheet[48 + 25, 24 + 108 + 50]) == COLOURS[0]
    nothing = draw_sheet([Row("a", ([tmp_path / "broken.png"],))])
    assert nothing.size == (480, 2 * 24 + 24 + 192)


@pytest.mark.parametrize(
    ("size", "shown"),
    [((32, 32), (96, 96)), ((50, 20), (100, 40)), ((95, 10), (190, 20)), ((96, 96), (96, 96)),
     ((192, 8), (192, 8)), ((193, 193), (192, 192)), ((512, 768), (192, 288))],
)  # fmt: skip
def test_small_pictures_are_enlarged_by_a_whole_factor(size: tuple[int, int], shown: tuple[int, int]) -> None:
    assert _cell_size(size) == shown


def test_text_is_wrapped_to_its_width() -> None:
    font = page_font(14)
    text = "a red circle above a blue square " * 9
    lines = wrapped(text, font, 400)
    assert len(lines) == 2 and lines[1].endswith(" ...") and text.startswith(lines[0])
    assert all(300 < font.getlength(line) < 420 for line in lines)
    assert wrapped("short", font, 400) == ["short"]
    assert wrapped("   ", font, 400) == ["   "]
