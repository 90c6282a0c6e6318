"""Prompts of anybody's images."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from ddecli.core.errors import UserError
from ddecli.core.protocol import prompt_id
from ddecli.core.sealed import write_sealed
from ddecli.scoring.sources import ImageSet, read_source, require_same_prompts


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "images"
    path.mkdir()
    for name in ("b.png", "a.jpg", "c.PNG"):
        Image.new("RGB", (4, 4)).save(path / name)
    return path


def found(source: ImageSet) -> list[tuple[str, str, int]]:
    return [(image.path.name, image.prompt, image.image_index) for image in source.images]


def test_sample_folder(make_sample: Callable[..., Path]) -> None:
    source = read_source([make_sample()])
    assert len(source.images) == 12
    assert source.protocol is not None
    assert source.images[5].image_index == 1
    assert source.images[5].prompt_id == prompt_id("a blue star on white")


def drop(number: int) -> Callable[[list[str]], list[str]]:
    return lambda lines: lines[:number] + lines[number + 1 :]


@pytest.mark.parametrize(
    "change",
    [
        lambda lines: lines[:-1],  # cut at the end of a line
        lambda lines: lines[:4],  # a whole prompt is left
        drop(5),
        lambda lines: [*lines, lines[0]],
        lambda lines: [lines[1], lines[0], *lines[2:]],
        lambda lines: [lines[0].replace("red", "rad"), *lines[1:]],
        lambda lines: [lines[0].replace('"image_index": 0', '"image_index": 4'), *lines[1:]],
        lambda lines: [lines[0].replace("-00.png", "-01.png"), *lines[1:]],
        lambda lines: ["{", *lines[1:]],
    ],
)
def test_a_list_of_images_that_has_changed(
    make_sample: Callable[..., Path], change: Callable[[list[str]], list[str]]
) -> None:
    folder = make_sample()
    lines = (folder / "metadata.jsonl").read_text().splitlines()
    (folder / "metadata.jsonl").write_text("".join(f"{line}\n" for line in change(lines)))
    sentence = r"metadata\.jsonl does not list the 3 x 4 images that protocol\.json tells of: run the same"
    with pytest.raises(UserError, match=sentence):
        read_source([folder])
    assert len(read_source([folder], prompt="a dog").images) == 12


def test_a_protocol_that_has_changed(make_sample: Callable[..., Path]) -> None:
    folder = make_sample()
    write_sealed(folder / "protocol.json", json.loads((folder / "protocol.json").read_text()))
    assert read_source([folder]).protocol == {
        key: value
        for key, value in json.loads((folder / "protocol.json").read_text()).items()
        if key != "content_sha256"
    }
    text = (folder / "protocol.json").read_text()
    (folder / "protocol.json").write_text(text.replace('"steps": 2', '"steps": 3'))
    with pytest.raises(
        UserError, match=r"protocol\.json has changed since it was written: sample the images again"
    ):
        read_source([folder])


def test_one_prompt_for_all(folder: Path) -> None:
    source = read_source([folder], prompt="a  dog ")
    assert found(source) == [("a.jpg", "a dog", 0), ("b.png", "a dog", 1), ("c.PNG", "a dog", 2)]
    assert source.protocol is None
    files = read_source([folder / "c.PNG", folder / "a.jpg"], prompt="a dog")
    assert found(files) == [("c.PNG", "a dog", 0), ("a.jpg", "a dog", 1)]
    assert files.folder is None


def test_prompts_by_line(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_text("one\ntwo\none\n")
    source = read_source([folder], prompts_file=tmp_path / "prompts.txt")
    assert found(source) == [("a.jpg", "one", 0), ("b.png", "two", 0), ("c.PNG", "one", 1)]
    (tmp_path / "prompts.txt").write_text("one\ntwo\n")
    with pytest.raises(UserError, match="2 prompts for 3 images"):
        read_source([folder], prompts_file=tmp_path / "prompts.txt")


def test_prompts_of_any_list_one_an_image(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "prompts.csv").write_text('number,prompt\n1,"one\ntwo"\n2,two\n3,three\n')
    source = read_source([folder], prompts_file=tmp_path / "prompts.csv")
    assert found(source) == [("a.jpg", "one two", 0), ("b.png", "two", 0), ("c.PNG", "three", 0)]


def test_a_sample_knows_the_prompts_of_its_images(make_sample: Callable[..., Path], tmp_path: Path) -> None:
    folder = make_sample(per_prompt=1)
    own = found(read_source([folder]))
    listed = tmp_path / "list.jsonl"
    listed.write_text(
        "".join(json.dumps({"prompt": prompt, "more": 1}) + "\n" for _, prompt, _ in reversed(own))
        + '{"prompt": "not sampled"}\n'
    )
    source = read_source([folder], prompts_file=listed)
    assert found(source) == own
    assert [row.about.get("more") for row in source.rows] == [1, 1, 1, None]
    listed.write_text('{"prompt": "a red circle"}\n' * 3)
    with pytest.raises(
        UserError, match=r'list\.jsonl has no prompt "a blue star on white", of which .* has an image'
    ):
        read_source([folder], prompts_file=listed)
    listed.write_text(json.dumps({"file_name": own[0][0], "prompt": "a dog"}) + "\n")
    assert found(read_source([folder], prompts_file=listed)) == [(own[0][0], "a dog", 0)]


@pytest.mark.parametrize("kind", ["option", "table", "jsonl", "csv"])
def test_prompts_by_file_name(folder: Path, tmp_path: Path, kind: str) -> None:
    rows = [{"file_name": "c.PNG", "prompt": "three, or so"}, {"file_name": "a.jpg", "prompt": "one"}]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    if kind == "option":
        (tmp_path / "prompts.jsonl").write_text(lines)
        source = read_source([folder], prompts_file=tmp_path / "prompts.jsonl")
    elif kind == "table":
        (tmp_path / "prompts.csv").write_text('file_name,prompt\nc.PNG,"three, or so"\na.jpg,one\n')
        source = read_source([folder], prompts_file=tmp_path / "prompts.csv")
    else:
        text = lines if kind == "jsonl" else 'file_name,prompt\nc.PNG,"three, or so"\na.jpg,one\n'
        (folder / f"metadata.{kind}").write_text(text)
        source = read_source([folder])
    assert found(source) == [("c.PNG", "three, or so", 0), ("a.jpg", "one", 0)]


def test_sidecars(folder: Path) -> None:
    (folder / "a.txt").write_text("one\n")
    (folder / "b.txt").write_text("two")
    source = read_source([folder])
    assert found(source) == [("a.jpg", "one", 0), ("b.png", "two", 0)]
    assert [(Path(name).name, error.reason) for name, error in source.bad] == [("c.PNG", "no prompt")]
    (folder / "c.txt").write_text("drei K\u00e4tzchen", encoding="latin-1")
    assert [error.reason for _, error in read_source([folder]).bad] == ["unreadable prompt"]


def test_bad_metadata_rows_are_listed(folder: Path) -> None:
    rows = [
        '{"file_name": "a.jpg", "prompt": "one"}',
        '{"file_name": "../a.jpg", "prompt": "one"}',
        '{"file_name": "/etc/a.jpg", "prompt": "one"}',
        '{"prompt": "one"}',
        "not json",
        '{"file_name": "b.png", "prompt": " "}',
        '{"file_name": "b.png"}',
        '{"file_name": "b.png", "prompt": "one", "image_index": "x"}',
        '{"file_name": "b.png", "prompt": "one", "image_index": 2147483648}',
        '{"file_name": "b.png", "prompt": "one", "image_index": 1e999}',
        '{"file_name": "b.png", "prompt": "one", "image_index": 0}',
    ]
    (folder / "metadata.jsonl").write_text("\n".join(rows))
    source = read_source([folder])
    assert found(source) == [("a.jpg", "one", 0)]
    assert [error.reason for _, error in source.bad] == [
        "path leaves the folder",
        "path leaves the folder",
        "row without file_name",
        "malformed row",
        "empty prompt",
        "no prompt",
        *["image_index is no number"] * 3,
        "repeated row",
    ]


def test_what_cannot_be_read_is_said_in_a_sentence(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        read_source([tmp_path / "none"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no image files"):
        read_source([tmp_path / "empty"], prompt="a dog")
    with pytest.raises(UserError, match="no image with a prompt"):
        read_source([folder])
    with pytest.raises(UserError, match="--prompt TEXT"):
        read_source([folder / "a.jpg"])
    with pytest.raises(UserError, match="empty"):
        read_source([folder], prompt="  ")
    with pytest.raises(UserError, match="not both"):
        read_source([folder], prompt="a", prompts_file=tmp_path / "x.txt")
    with pytest.raises(UserError, match="folders, or image files, not both"):
        read_source([folder, tmp_path / "empty"], prompt="a")


def test_unfinished_sample(make_sample: Callable[..., Path]) -> None:
    folder = make_sample()
    (folder / "metadata.jsonl").unlink()
    with pytest.raises(UserError, match="not finished"):
        read_source([folder])


def test_different_prompts_are_refused(folder: Path) -> None:
    left = read_source([folder], prompt="a dog")
    require_same_prompts(left, read_source([folder], prompt="a dog"))
    with pytest.raises(UserError, match=r'1 are in .* only, first "a dog"'):
        require_same_prompts(left, read_source([folder], prompt="a cat"))
