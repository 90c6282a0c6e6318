"""Images side by side, the look of figures, and what is written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from ddecli.core.errors import UserError
from ddecli.core.protocol import prompt_id
from ddecli.figures import images
from ddecli.figures.save import plain, save_figure
from ddecli.figures.style import COLOURS, colours, legend, panels

PROMPTS = [f"a {colour} cat for ${number}" for number, colour in enumerate(("red", "blue", "green", "grey"))]


def sample(folder: Path, seed: int, size=(32, 32), **protocol) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(seed)
    lines = []
    for prompt in PROMPTS:
        for index in range(2):
            name = f"{prompt_id(prompt)}-{index:02d}.png"
            Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)).save(folder / name)
            lines.append(
                {"file_name": name, "prompt": prompt, "prompt_id": prompt_id(prompt), "image_index": index}
            )
    (folder / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "protocol.json").write_text(json.dumps({"steps": 15, "model": str(folder)} | protocol))
    return folder


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    root = tmp_path_factory.mktemp("samples")
    return {
        "BASE": [sample(root / "base", 0)],
        "DDE": [sample(root / "dde", 1)],
        "other": [sample(root / "other", 2, steps=50)],
        "large": [sample(root / "large", 3, size=(640, 512))],
    }


@pytest.fixture(scope="module")
def rows(samples):
    return {label: samples[label] for label in ("BASE", "DDE")}


def test_prompts_are_spread_evenly_and_files_belong_to_them(rows):
    found = images.numbers(rows, prompts=2, image_index=1)
    assert [row["prompt"] for row in found["prompts"]] == [PROMPTS[0], PROMPTS[3]]
    assert [row["prompt"] for row in images.numbers(rows, prompts=3)["prompts"]] == [
        PROMPTS[place] for place in (0, 2, 3)
    ]
    assert len(images.numbers(rows)["prompts"]) == 4
    file = found["prompts"][1]["files"]["DDE"]
    assert file == rows["DDE"][0] / f"{prompt_id(PROMPTS[3])}-01.png"


def test_small_pictures_are_enlarged_pixel_by_pixel(rows, tmp_path):
    found = images.numbers(rows, prompts=2)
    stem = save_figure(tmp_path / "images", found, images.draw, title="Two $ per $")
    page = np.asarray(Image.open(f"{stem}.png").convert("RGB"))
    for column, label in enumerate(rows):
        picture = np.asarray(Image.open(found["prompts"][0]["files"][label]))
        enlarged = picture.repeat(10, axis=0).repeat(10, axis=1)  # 320 dots, the most below LARGEST
        left = images.BORDER + images.TEXT + column * (320 + images.GAP)
        top = images.BORDER + 2 * images.LINE + images.GAP + images.TITLE_GAP
        shown = page[top : top + 320, left : left + 320]
        inside = slice(5, -5)  # within the frame
        np.testing.assert_array_equal(shown[inside, inside], enlarged[inside, inside])


def test_large_pictures_keep_their_shape(samples, tmp_path):
    found = plain(images.numbers({"large": samples["large"]}, prompts=1)) | {"title": None}
    figure = images.draw(found)
    (axis,) = figure.axes
    shape = axis.images[0].get_array().shape
    assert shape[:2] == (264, 330)
    place = axis.get_position().transformed(figure.transFigure)
    assert (place.width, place.height) == pytest.approx((330, 264))


def test_long_texts_are_wrapped(rows):
    found = plain(images.numbers(rows, prompts=1)) | {"title": None}
    found["prompts"][0]["prompt"] = "a very long prompt " * 30
    label = "a method with a long name"
    found["rows"] = {label: [], "DDE": []}
    found["prompts"][0]["files"][label] = found["prompts"][0]["files"]["BASE"]
    texts = [text.get_text() for text in images.draw(found).texts]
    assert len([text for text in texts if "very" in text or "prompt" in text]) == 320 // images.LINE
    assert "a method with a" in texts


def test_images_refuse_what_they_cannot_show(rows, samples, tmp_path):
    with pytest.raises(UserError, match="The figure needs sample folders"):
        images.numbers({})
    with pytest.raises(UserError, match=r'base has no image 2 of "a red cat for \$0"'):
        images.numbers(rows, image_index=2)
    with pytest.raises(UserError, match="steps is 15 in the first and 50 in the second"):
        images.numbers(rows | {"other": samples["other"]})
    with pytest.raises(UserError, match="DDE has 2 folders: a column shows the images of one"):
        images.numbers(rows | {"DDE": [*samples["DDE"], *samples["BASE"]]})
    with pytest.raises(UserError, match="is no finished sample"):
        images.numbers({"BASE": [tmp_path]})
    found = plain(images.numbers(rows)) | {"title": None}
    found["prompts"][0]["files"]["DDE"] = str(tmp_path / "gone.png")
    with pytest.raises(UserError, match="gone.png cannot be shown"):
        images.draw(found)


def draw(numbers) -> Figure:
    figure, (axis,) = panels(1)
    (line,) = axis.plot(np.array(numbers["x"], dtype=float), label="x")
    legend(figure, [(line, "a rather long label of a line")] * 3)
    return figure


def test_three_files_the_same_each_time(tmp_path):
    numbers = {"x": np.array([1.0, np.nan, 3.0]), "folder": Path("runs/a")}
    for name in ("first", "second"):
        save_figure(tmp_path / f"{name}.pdf", numbers, draw, "Cost: $5 or $6")
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        f"{name}.{suffix}" for name in ("first", "second") for suffix in ("json", "pdf", "png")
    ]
    for suffix in ("json", "pdf", "png"):
        first, second = ((tmp_path / f"{name}.{suffix}").read_bytes() for name in ("first", "second"))
        assert first == second
    assert b"CreationDate" not in (tmp_path / "first.pdf").read_bytes()
    found = json.loads((tmp_path / "first.json").read_text())
    assert found == {"x": [1.0, None, 3.0], "folder": "runs/a", "title": "Cost: $5 or $6"}
    assert Image.open(tmp_path / "first.png").info["dpi"] == pytest.approx((300, 300), abs=0.1)


def test_long_titles_are_wrapped(tmp_path):
    def remember(numbers):
        drawn.append(draw(numbers))
        return drawn[-1]

    drawn: list[Figure] = []
    save_figure(tmp_path / "figure", {"x": [1, 2]}, remember, "A title of many words " * 6)
    (figure,) = drawn
    box = figure._suptitle.get_window_extent()
    assert box.x0 >= 0 and box.x1 <= figure.bbox.width


def test_only_known_suffixes_are_dropped(tmp_path):
    assert save_figure(tmp_path / "beta0.5", {"x": [1, 2]}, draw) == tmp_path / "beta0.5"
    assert (tmp_path / "beta0.5.png").is_file()


def test_what_was_there_stays_when_a_figure_fails(tmp_path):
    save_figure(tmp_path / "figure", {"x": [1, 2]}, draw)
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}
    with pytest.raises(KeyError):
        save_figure(tmp_path / "figure", {"y": []}, draw)
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_a_legend_takes_as_many_lines_as_it_needs():
    figure = draw({"x": [1, 2]})
    (found,) = figure.legends
    figure.draw_without_rendering()
    assert found._ncols < 3
    assert found.get_window_extent().width <= figure.bbox.width


def test_a_method_has_one_colour_and_others_have_their_own():
    found = colours(["mine", "DDE", "dde_single", "Uni", "yours"])
    assert [found[label] for label in ("DDE", "dde_single", "Uni")] == [
        COLOURS[name] for name in ("dde", "dde-single", "uniform")
    ]
    assert len(set(found.values())) == 5
    assert len(set(COLOURS.values())) == len(COLOURS)
