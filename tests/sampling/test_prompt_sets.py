"""Published prompt sets: the user's own copies in every format, the hub's layout, and the package's own classes."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hub_cache import AddToHub, make_hub

from ddecli.core.errors import UserError
from ddecli.core.prompts import read_prompts
from ddecli.core.protocol import prompt_id
from ddecli.sampling.prompt_sets import NAMES, PUBLISHED, imagenet_classes, rows_by_name
from ddecli.sampling.prompts import make_prompt_set

PROMPTS = ['a "red" circle, or so', "a blue star", "", "赤い丸"]


def prompts_by_name(name: str, path: Path | None = None) -> list[str]:
    return [row.prompt for row in rows_by_name(name, path)]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AddToHub:
    return make_hub(tmp_path / "cache", monkeypatch)


def write(file: Path, prompts: list[str], column: str = "caption") -> Path:
    """Write prompts in the format of the file's suffix, tables with a second column."""
    file.parent.mkdir(parents=True, exist_ok=True)
    rows = [{"number": str(number), column: prompt} for number, prompt in enumerate(prompts)]
    if file.suffix == ".parquet":
        pictures = pa.array([b"jpg"] * len(rows))
        pq.write_table(pa.table({"jpg_0": pictures, column: prompts}), file)
    elif file.suffix == ".csv":
        with file.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, ["number", column])
            writer.writeheader()
            writer.writerows(rows)
    elif file.suffix == ".tsv":
        lines = ["\t".join(("number", column)), *("\t".join(row.values()) for row in rows)]
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    elif file.suffix == ".json":
        file.write_text(json.dumps(prompts), encoding="utf-8")
    elif file.suffix == ".jsonl":
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    else:
        file.write_text("\n".join(prompts), encoding="utf-8")
    return file


@pytest.mark.parametrize("suffix", [".txt", ".csv", ".tsv", ".json", ".jsonl", ".parquet"])
def test_every_format_reads_the_same(tmp_path: Path, suffix: str) -> None:
    file = write(tmp_path / f"prompts{suffix}", PROMPTS)
    assert read_prompts(file) == PROMPTS
    assert prompts_by_name("pickapic-validation", file) == PROMPTS


def test_columns_are_found_by_name_in_their_order(tmp_path: Path) -> None:
    file = tmp_path / "prompts.csv"
    file.write_text('text,PROMPT\na cat,"a dog,\non two lines"\n')
    assert read_prompts(file) == ["a dog,\non two lines"]
    assert read_prompts(file, ("text", "prompt")) == ["a cat"]
    with pytest.raises(UserError, match="has columns text, PROMPT; none is called title"):
        read_prompts(file, ("title",))
    (tmp_path / "objects.json").write_text('[{"Prompt": "a dog"}, "a cat", {"prompt": null}]')
    assert read_prompts(tmp_path / "objects.json") == ["a dog", "a cat", ""]


def test_quotation_marks_of_a_tsv_belong_to_the_text(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text('Prompt\tNote\n"a dog\tx\na 5" nail\ty\n')
    assert read_prompts(tmp_path / "a.tsv") == ['"a dog', 'a 5" nail']


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.json", '{"prompt": "a"}', "holds no JSON list"),
        ("a.json", "[", "is cut or no JSON"),
        ("a.json", "[3]", "item 1: the prompt must be a text, not int"),
        ("a.json", '[{"title": "a"}]', "item 1 has columns title; none is called prompt"),
        ("a.csv", "title\na", "line 2 has columns title; none is called prompt"),
        ("a.csv", "prompt\na cat, sitting", "line 2: malformed row: 2 cells for 1 columns"),
        ("a.parquet", "<html>", "cannot be read as parquet"),
    ],
)
def test_damaged_files(tmp_path: Path, name: str, content: str, sentence: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=sentence):
        read_prompts(tmp_path / name)


HUB_FILES = {
    "pickapic-validation": ("data/validation_unique-00000-of-00001-00ff.parquet",),
    "partiprompts": ("PartiPrompts.tsv",),
    "hpsv2": tuple(f"benchmark/{style}.json" for style in ("anime", "concept-art", "paintings", "photo")),
}


@pytest.mark.parametrize("name", list(PUBLISHED))
def test_sets_from_the_hub_and_from_folders(
    hub: AddToHub, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """In the hub's layout and in a flat folder, in the published order and number; other files are left alone."""
    published = PUBLISHED[name]
    expected = [f"prompt {number}" for number in range(published.count)]
    files = HUB_FILES[name]
    share = published.count // len(files)
    for number, file in enumerate(files):
        part = expected[number * share : (number + 1) * share]
        write(tmp_path / "copy" / file, part, published.column)
        write(tmp_path / "flat" / Path(file).name, part, published.column)
    write(tmp_path / "copy" / "data" / "validation-00000-of-00001.parquet", ["another split"])
    write(tmp_path / "copy" / "test.json", ["another list"])
    hub(published.repository, tmp_path / "copy", "dataset")
    for path in (None, tmp_path / "copy", tmp_path / "flat"):
        assert prompts_by_name(name, path) == expected
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", list(PUBLISHED))
def test_without_network_and_with_part_of_a_set(
    hub: AddToHub, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    published = PUBLISHED[name]
    sentence = f"prompts of {name} .*hf download {published.repository} --repo-type dataset.*{name}=FOLDER"
    with pytest.raises(UserError, match=sentence):
        prompts_by_name(name)
    (tmp_path / "copy").mkdir()
    with pytest.raises(UserError, match=f"has no .* of {name}"):
        prompts_by_name(name, tmp_path / "copy")
    with pytest.raises(UserError, match="does not exist"):
        prompts_by_name(name, tmp_path / "none.txt")
    assert prompts_by_name(name, write(tmp_path / "a.txt", ["a"])) == ["a"]
    assert f"1 prompts were read, {published.count} are published" in capsys.readouterr().err


def test_imagenet_classes() -> None:
    classes = imagenet_classes()
    assert len(classes) == 1000
    assert (classes[134], classes[517]) == ("bird crane", "machine crane")
    assert (classes[638], classes[639]) == ("maillot swimsuit", "maillot tanksuit")
    assert (classes[0], classes[1], classes[999]) == ("tench", "goldfish", "toilet tissue")
    assert (classes[133], classes[135]) == ("bittern", "limpkin")
    assert (classes[516], classes[518]) == ("cradle", "crash helmet")
    prompts = make_prompt_set("imagenet-classes", prompts_by_name("imagenet-classes"))
    assert prompts.prompts[7] == "A photo of cock"
    assert len(set(map(prompt_id, prompts.prompts))) == 1000
    assert (prompts.empty, prompts.duplicates) == (0, 0)
    with pytest.raises(UserError, match="comes with ddecli"):
        prompts_by_name("imagenet-classes", Path("classes.txt"))


def test_every_set_has_a_test() -> None:
    own_copies = {"geneval", "geneval2", "dpg", "t2i-compbench"}  # tests/cli/test_export.py
    assert set(NAMES) == {*HUB_FILES, "imagenet-classes", *own_copies}
