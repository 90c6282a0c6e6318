"""`ddecli sample --prompts` of a benchmark's own list, and `ddecli export` to what its official tool reads."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import official_tools
import pytest
from cli_checks import assert_one_sentence, contents
from PIL import Image

from ddecli.core.prompt_rows import groups_of, load_prompt_rows
from ddecli.core.protocol import image_name, prompt_id

Run = Callable[..., Any]

GENEVAL = [
    {"tag": "single_object", "include": [{"class": "bench", "count": 1}], "prompt": "a photo of a bench"},
    {
        "tag": "counting",
        "include": [{"class": "ring", "count": 2}],
        "exclude": [{"class": "ring", "count": 3}],
        "prompt": "a photo of two rings",
    },
    {"tag": "two_object", "include": [{"class": "bench", "count": 1}], "prompt": "a photo of a bench"},
]
GENEVAL2 = [
    {
        "prompt": "a green  backpack and a pig",
        "atom_count": 3,
        "vqa_list": [["How many backpacks are in the image?", "one"], ["Are there any pigs?", "Yes"]],
        "skills": ["count", "object"],
    },
    {"prompt": "赤い丸", "atom_count": 1, "vqa_list": [["Is it a circle?", "Yes"]], "skills": ["object"]},
]
COMPBENCH = {"color_val.txt": ["a red book", "A white sink.", "a red book"], "numeracy_val.txt": ["two cats"]}
DPG = {"12": "A long text\nof two lines.\n", "partiprompts7": "A bench.", "COCOval2014000000000001": "A cat."}


def jsonl(name: str, rows: list[dict[str, Any]]) -> Path:
    Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Path(name)


def texts(folder: str, files: dict[str, str]) -> Path:
    Path(folder).mkdir()
    for name, text in files.items():
        (Path(folder) / name).write_text(text)
    return Path(folder)


def compbench_folder() -> Path:
    files = {name: "\n".join(lines) + "\n" for name, lines in COMPBENCH.items()}
    return texts("dataset", files | {"color.txt": "not this one", "new_objects.txt": "cat - cats"})


@pytest.fixture
def sampled(ddecli: Run, sd_folder: Path) -> Callable[..., Path]:
    """Sample a list and return the folder."""

    def sample(prompts: str | Path, images: int, *more: object) -> Path:
        given = ("--prompts", prompts, "--images-per-prompt", images, "--steps", 1, "--out", "s", *more)
        typed = ddecli("sample", sd_folder, *given)
        assert typed.code == 0, typed.error
        return Path("s")

    return sample


def pixels(image: Image.Image | Path) -> np.ndarray:
    if isinstance(image, Path):
        image = Image.open(image)
    return np.asarray(image.convert("RGB"))


def of_prompt(folder: Path, prompt: str, number: int) -> np.ndarray:
    return pixels(folder / image_name(prompt_id(" ".join(prompt.split())), number))


@pytest.mark.parametrize("given", ["geneval=evaluation_metadata.jsonl", "evaluation_metadata.jsonl"])
def test_geneval(ddecli: Run, sampled: Callable[..., Path], given: str) -> None:
    jsonl("evaluation_metadata.jsonl", GENEVAL)
    folder = sampled(given, 3)
    rows = load_prompt_rows(folder)
    assert [row.about for row in rows] == GENEVAL
    assert groups_of(rows)["tag"] == {
        row["tag"]: [prompt_id(row["prompt"])] for row in GENEVAL
    }  # one prompt may be in two groups
    typed = ddecli("export", folder, "--layout", "geneval", "--out", "g")
    assert typed.code == 0, typed.error
    assert "9 images of 3 prompts. Next: python evaluation/evaluate_images.py g" in typed.out
    found = official_tools.geneval(Path("g"))
    assert sorted(found) == ["00000", "00001", "00002"]
    for number, row in enumerate(GENEVAL):
        metadata, images = found[f"{number:05d}"]
        assert metadata == row
        assert sorted(images) == ["00000.png", "00001.png", "00002.png"]
        for index, name in enumerate(sorted(images)):
            np.testing.assert_array_equal(pixels(images[name]), of_prompt(folder, row["prompt"], index))
    size = pixels(Path("g/00000/samples/00000.png")).shape[0]
    page = pixels(Path("g/00000/grid.png"))
    assert page.shape == (2 * size, 2 * size, 3) and not page[size:, size:].any()
    np.testing.assert_array_equal(page[size:, :size], of_prompt(folder, GENEVAL[0]["prompt"], 2))


def test_geneval2_and_a_part_of_a_list(ddecli: Run, sampled: Callable[..., Path]) -> None:
    jsonl("geneval2_data.jsonl", GENEVAL2)
    folder = sampled("geneval2_data.jsonl", 2)
    typed = ddecli("export", folder, "--layout", "geneval2", "--out", "g", "--json")
    assert typed.code == 0, typed.error
    summary = json.loads(typed.out)
    assert (summary["images"], summary["prompts"], summary["listed"]) == (2, 2, 2)
    assert "the first of 2 images a prompt" in summary["about"]
    found = official_tools.geneval2(Path("geneval2_data.jsonl"), Path("g/image_paths.json"))
    assert [(prompt, questions) for prompt, _, questions in found] == [
        (GENEVAL2[0]["prompt"], 2),
        ("赤い丸", 1),
    ]
    for prompt, image, _ in found:
        np.testing.assert_array_equal(pixels(image), of_prompt(folder, prompt, 0))

    part = sampled("geneval2=geneval2_data.jsonl", 1, "--num-prompts", 1, "--overwrite")
    typed = ddecli("export", part, "--layout", "geneval2", "--out", "p")
    assert "1 images of 1 prompts; 1 prompts of the list have none" in typed.out
    with pytest.raises(KeyError):
        official_tools.geneval2(Path("geneval2_data.jsonl"), Path("p/image_paths.json"))
    assert len(official_tools.geneval2(Path("p/geneval2_data.jsonl"), Path("p/image_paths.json"))) == 1


@pytest.mark.parametrize(("images", "read"), [(4, 4), (6, 4), (2, 2), (1, 1)])
def test_dpg(ddecli: Run, sampled: Callable[..., Path], images: int, read: int) -> None:
    folder = sampled(texts("prompts", {f"{item}.txt": text for item, text in DPG.items()}), images)
    typed = ddecli("export", folder, "--layout", "dpg", "--out", "d")
    assert typed.code == 0, typed.error
    size = pixels(next(folder.glob("*-00.png"))).shape[0]
    assert f"--image-root-path d --resolution {size} --pic-num {read}" in typed.out
    found = official_tools.dpg(Path("d"), size, read, set(DPG))
    assert set(found) == set(DPG)
    for item, crops in found.items():
        assert len(crops) == read
        for number, crop in enumerate(crops):
            np.testing.assert_array_equal(pixels(crop), of_prompt(folder, DPG[item], number))


@pytest.mark.parametrize("given", ["t2i-compbench=dataset", "dataset"])
def test_compbench(ddecli: Run, sampled: Callable[..., Path], given: str) -> None:
    compbench_folder()
    folder = sampled(given, 2)
    assert {name: len(ids) for name, ids in groups_of(load_prompt_rows(folder))["category"].items()} == {
        "color": 2,
        "numeracy": 1,
    }
    typed = ddecli("export", folder, "--layout", "t2i-compbench", "--out", "t")
    assert typed.code == 0, typed.error
    assert sorted(path.name for path in Path("t").iterdir()) == ["color", "numeracy"]
    for name, prompts in COMPBENCH.items():
        found = official_tools.compbench(Path("t") / name.removesuffix("_val.txt"))
        assert [(prompt, number) for prompt, number, _ in found] == [
            (prompt, 2 * place + index) for place, prompt in enumerate(prompts) for index in range(2)
        ]
        for prompt, number, image in found:
            np.testing.assert_array_equal(pixels(image), of_prompt(folder, prompt, number % 2))


def test_one_file_of_compbench_and_what_follows_a_tab(ddecli: Run, sampled: Callable[..., Path]) -> None:
    Path("color_val.txt").write_text("a red book\tbook\na cat")
    assert [row.prompt for row in load_prompt_rows(sampled("t2i-compbench=color_val.txt", 1))] == [
        "a red book",
        "a cat",
    ]
    typed = ddecli("export", "s", "--layout", "t2i-compbench", "--out", "t")
    assert typed.code == 0, typed.error
    assert [prompt for prompt, _, _ in official_tools.compbench(Path("t/color"))] == ["a red book", "a cat"]


def test_own_pictures_with_a_list(ddecli: Run) -> None:
    """Any folder of images with prompts, JPEG among them, and the benchmark's list beside it."""
    Path("own").mkdir()
    for number, color in enumerate(["red", "blue"]):
        Image.new("RGB", (16, 16), color).save(f"own/{number}.jpg", quality=95)
        Path(f"own/{number}.txt").write_text(GENEVAL[number]["prompt"])
    jsonl("list.jsonl", GENEVAL)
    assert_one_sentence(
        ddecli("export", "own", "--layout", "geneval", "--out", "g"), "give --prompts geneval=PATH"
    )
    typed = ddecli("export", "own", "--layout", "geneval", "--out", "g", "--prompts", "list.jsonl")
    assert typed.code == 0, typed.error
    found = official_tools.geneval(Path("g"))
    assert {image.format for _, images in found.values() for image in images.values()} == {"PNG"}
    assert {name: len(images) for name, (_, images) in found.items()} == {"00000": 1, "00001": 1, "00002": 1}


@pytest.mark.parametrize(
    ("given", "content", "parts"),
    [
        (
            "geneval=a.jsonl",
            '{"prompt": "a cat"}\n',
            ("line 1, is no prompt of GenEval", "prompt, tag and include"),
        ),
        (
            "geneval=a.jsonl",
            '{"prompt": "a", "tag": "x", "include": []}\n{"prompt"',
            ("line 2, is no prompt",),
        ),
        ("geneval=a.txt", "a cat\n", ("a.txt is not GenEval's list",)),
        ("geneval2=a.jsonl", '{"prompt": "a", "tag": "x", "include": []}\n', ("is no prompt of GenEval 2",)),
        ("dpg=a.txt", "a cat\n", ("holds no prompts of DPG-Bench", "dpg_bench/prompts")),
        ("t2i-compbench=a.txt", "a cat\n", ("is no list of T2I-CompBench", "color_val.txt")),
        ("geneval", "", ("GenEval is read from your own copy", "geneval=PATH")),
        ("geneval=none.jsonl", "", ("none.jsonl does not exist",)),
        (".", "", ("is a folder without prompts",)),
    ],
)
def test_a_list_that_is_none(
    ddecli: Run, sd_folder: Path, given: str, content: str, parts: tuple[str, ...]
) -> None:
    name = given.partition("=")[2]
    if content:
        Path(name).write_text(content)
    before = contents(".")
    assert_one_sentence(ddecli("sample", sd_folder, "--prompts", given, "--out", "s"), *parts)
    assert contents(".") == before


def test_what_cannot_be_exported(ddecli: Run, sampled: Callable[..., Path]) -> None:
    Path("color_val.txt").write_text("a snake_case cat\n")
    folder = sampled("color_val.txt", 1)
    before = contents(".")
    assert_one_sentence(
        ddecli("export", folder, "--layout", "t2i-compbench", "--out", "t"), "a snake_case cat"
    )
    assert_one_sentence(ddecli("export", folder, "--layout", "geneval", "--out", "t"), "geneval=PATH")
    assert_one_sentence(ddecli("export", folder, "--layout", "dpg", "--out", "s"), "s is not empty")
    assert_one_sentence(ddecli("export", "none", "--layout", "dpg", "--out", "t"), "none does not exist")
    Path("list.jsonl").write_text(json.dumps(GENEVAL[0]))
    given = ("--layout", "geneval", "--out", "t", "--prompts", "list.jsonl")
    assert_one_sentence(ddecli("export", folder, *given), "images of none of the 1 prompts")
    after = contents(".")
    assert after == before | {"list.jsonl": after["list.jsonl"]}
    prompts = json.loads((folder / "prompts.json").read_text())
    prompts["rows"][0]["about"]["category"] = "shape"
    (folder / "prompts.json").write_text(json.dumps(prompts))
    assert_one_sentence(
        ddecli("export", folder, "--layout", "t2i-compbench", "--out", "t"), "prompts.json has changed"
    )
    image = next(folder.glob("*-00.png"))
    image.write_bytes(image.read_bytes()[:40])
    jsonl("list.jsonl", [GENEVAL[0] | {"prompt": "a snake_case cat"}])
    assert_one_sentence(ddecli("export", folder, *given), image.name)
    assert not Path("t").exists()


def test_categories_of_parti_prompts_and_hpsv2(sampled: Callable[..., Path]) -> None:
    Path("PartiPrompts.tsv").write_text(
        'Prompt\tCategory\tChallenge\tNote\na "cat\tAnimals\tBasic\tx\na dog\tAnimals\tStyle\t\n'
    )
    rows = load_prompt_rows(sampled("PartiPrompts.tsv", 1))
    assert [row.groups for row in rows] == [
        {"category": "Animals", "challenge": "Basic"},
        {"category": "Animals", "challenge": "Style"},
    ]
    lists = {
        "anime": ["a cat", "a dog"],
        "concept-art": ["a dog"],
        "paintings": ["a fox"],
        "photo": ["a cow"],
    }
    files = {f"{style}.json": json.dumps(prompts) for style, prompts in lists.items()}
    texts("hps", files)
    Path("all.json").write_text(json.dumps(lists))
    expected = {style: [prompt_id(prompt) for prompt in prompts] for style, prompts in lists.items()}
    for given in ("hps", "hpsv2=hps", "all.json", "hpsv2=all.json"):
        assert groups_of(load_prompt_rows(sampled(given, 1, "--overwrite")))["style"] == expected
    assert groups_of(load_prompt_rows(sampled("hps/photo.json", 1, "--overwrite"))) == {
        "style": {"photo": expected["photo"]}
    }
