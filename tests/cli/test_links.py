"""Data sets with names and links that lead out of their folder, and those that lie in the hub's cache."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_models
import yaml
from cli_checks import assert_one_sentence
from experiments import write_experiment
from hub_cache import linked_snapshot
from pair_data import png, write_folder

from ddecli.core.protocol import prompt_id
from ddecli.data.store import PairStore

Run = Callable[..., Any]
LEAVES = "path leaves the folder"


@pytest.fixture
def secret() -> str:
    """A text and a picture that no data set has a right to."""
    Path("secret.txt").write_text("root:x:0:0")
    Path("secret.png").write_bytes(png(99))
    return "root:x:0:0"


@pytest.fixture
def clip(tmp_path: Path) -> str:
    return f"clip={tiny_models.save_clip(tmp_path / 'clip')}"


def sides(folder: Path, count: int = 4) -> Path:
    """Pairs in w/ and l/."""
    for side, first in (("w", 0), ("l", count)):
        (folder / side).mkdir(parents=True)
        for number in range(count):
            (folder / side / f"{number}.png").write_bytes(png(first + number))
            (folder / "w" / f"{number}.txt").write_text(f"prompt {number}")
    return folder


def sample(folder: Path, **first: object) -> Path:
    """A finished sample of two images; `first` replaces entries of its first row."""
    rows = [
        {"file_name": f"{i}.png", "prompt": "a", "prompt_id": prompt_id("a"), "image_index": i}
        for i in range(2)
    ]
    write_folder(folder, [rows[0] | first, rows[1]], 2)
    (folder / "protocol.json").write_text(json.dumps({"steps": 2, "model": {"name": folder.name}}))
    return folder


def prepared(ddecli: Run, model: Path, data: Path) -> tuple[dict[str, Any], list[str]]:
    """The summary of a store `store`, and its prompts."""
    typed = ddecli(
        "prepare",
        "--model",
        model,
        "--data",
        data,
        "--out",
        "store",
        "--max-bad",
        0.9,
        "--json",
        "--overwrite",
    )
    assert typed.code == 0, typed.error
    store = PairStore.open(Path("store"))
    return json.loads(typed.out), [store.pair(i).prompt for i in range(len(store))]


def test_pair_folders_with_links(ddecli: Run, sd_folder: Path, secret: str) -> None:
    data = sides(Path("data"))
    for name, target in (
        ("w/1.png", "../../secret.png"),
        ("w/2.txt", "../../secret.txt"),
        ("l/3.png", "../w/3.png"),
    ):
        (data / name).unlink()
        (data / name).symlink_to(target)
    (data / "w/3.png").write_bytes(png(50))
    (data / "l/3.png").unlink()
    (data / "l/3.png").symlink_to("../w/0.png")  # within the folder
    summary, prompts = prepared(ddecli, sd_folder, data)
    assert prompts == ["prompt 0", "prompt 3"]
    assert summary["dropped"] == {LEAVES: 2}
    listed = Path("store/bad-rows.jsonl").read_text()
    assert "w/1.png leads to" in listed
    assert "w/2.txt leads to" in listed


def test_a_side_that_is_elsewhere(ddecli: Run, sd_folder: Path) -> None:
    elsewhere = sides(Path("elsewhere"))
    Path("data").mkdir()
    for side in ("w", "l"):
        Path("data", side).symlink_to(elsewhere.resolve() / side)
    typed = ddecli("prepare", "--model", sd_folder, "--data", "data", "--out", "store")
    assert_one_sentence(typed, "4 of 4 rows are bad", LEAVES)


def test_a_list_whose_pictures_are_elsewhere(ddecli: Run, sd_folder: Path) -> None:
    Path("elsewhere").mkdir()
    for number in range(2):
        Path(f"elsewhere/{number}.png").write_bytes(png(number))
    Path("data").mkdir()
    row = {"prompt": "a", "image_path": ["0.png", "1.png"], "human_preference": [1, 0]}
    Path("data/train.json").write_text(json.dumps([row]))
    Path("data/train").symlink_to("../elsewhere")
    arguments = ("prepare", "--model", sd_folder, "--data", "data", "--out", "store")
    assert_one_sentence(ddecli(*arguments), "data/train.json", "train leads to", "outside data")
    Path("data/train").unlink()
    Path("elsewhere").rename("data/train")
    assert ddecli(*arguments).code == 0


@pytest.mark.parametrize("kind", ["metadata", "sides", "list"])
def test_a_data_set_in_the_hubs_cache_is_prepared(
    ddecli: Run, sd_folder: Path, secret: str, kind: str
) -> None:
    """Its pictures, tables and prompts are links to ../../blobs/DIGEST; the store is that of plain files."""
    plain = Path("plain")
    if kind == "sides":
        sides(plain)
    elif kind == "metadata":
        write_folder(
            plain, [{"prompt": f"prompt {i}", "chosen": f"{i}.png", "rejected": "3.png"} for i in range(3)], 4
        )
    else:
        (plain / "train").mkdir(parents=True)
        for number in range(4):
            (plain / "train" / f"{number}.png").write_bytes(png(number))
        rows = [{"prompt": f"p{i}", "path1": f"train/{i}.png", "path2": "train/3.png"} for i in range(3)]
        (plain / "train.json").write_text(json.dumps(rows))
    _, expected = prepared(ddecli, sd_folder, plain)
    pictures = [PairStore.open(Path("store")).pair(i).chosen_sha256 for i in range(3)]
    cached = linked_snapshot(Path("cache/datasets--someone--pairs"), plain)
    summary, prompts = prepared(ddecli, sd_folder, cached)
    assert prompts == expected
    assert [PairStore.open(Path("store")).pair(i).chosen_sha256 for i in range(3)] == pictures
    assert not summary["dropped"]


def test_score_with_links(ddecli: Run, clip: str, secret: str) -> None:
    folder = Path("images")
    write_folder(folder, [], 3)
    (folder / "metadata.jsonl").unlink()
    (folder / "3.png").symlink_to("../secret.png")
    (folder / "4.png").write_bytes(png(4))
    for number in range(4):
        (folder / f"{number}.txt").write_text("a")
    (folder / "4.txt").symlink_to("../secret.txt")
    arguments = ("score", folder, "--metric", "clip", "--scorer", clip, "--max-bad", 0.5, "--json")
    typed = ddecli(*arguments)
    assert typed.code == 0, typed.error
    skipped = [json.loads(line) for line in (folder / "scores-skipped.jsonl").read_text().splitlines()]
    assert [(Path(row["file"]).name, row["reason"]) for row in skipped] == [
        ("3.png", LEAVES),
        ("4.png", LEAVES),
    ]
    typed = ddecli(*arguments, "--prompt", "a", "--out", "other")
    assert json.loads(typed.out)["skipped"] == 1
    (folder / "3.png").unlink()
    (folder / "4.txt").unlink()
    (folder / "4.txt").write_text("a")
    cached = linked_snapshot(Path("cache/datasets--someone--images"), folder)
    typed = ddecli("score", cached, *arguments[2:], "--out", "of-cache")
    assert typed.code == 0, typed.error
    answer = json.loads(typed.out)
    assert (answer["scores"][0]["images"], answer["skipped"]) == (4, 0)


def test_figures_and_the_inception_score_of_a_sample(ddecli: Run, secret: str, tmp_path: Path) -> None:
    figure = ("figure", "images", "--prompts", 1, "--out", "figure")
    classifier = tiny_models.save_classifier(tmp_path / "classifier")
    inception = ("inception", "--classifier", classifier, "--splits", 1)
    sample(Path("up"), file_name="../secret.png")
    sample(Path("link"))
    Path("link/0.png").unlink()
    Path("link/0.png").symlink_to("../secret.png")
    for folder in ("up", "link"):
        assert_one_sentence(ddecli(*figure, f"Base={folder}"), f"{folder}/metadata.jsonl", LEAVES)
        assert_one_sentence(ddecli(*inception, folder), f"{folder}/metadata.jsonl", LEAVES)
    cached = linked_snapshot(Path("cache/datasets--someone--sample"), sample(Path("good")))
    for folder in (Path("good"), cached):
        typed = ddecli(*figure, f"Base={folder}")
        assert typed.code == 0, typed.error
        typed = ddecli(*inception, folder)
        assert typed.code == 0, typed.error


def test_a_report_shows_pictures_of_its_folder_only(ddecli: Run, secret: str, tmp_path: Path) -> None:
    experiment = write_experiment(tmp_path / "x")
    values, paper = yaml.safe_load(experiment.read_text()), tmp_path / "x" / "paper"
    (paper / "link.png").symlink_to(tmp_path / "secret.txt")
    for name in ("../../secret.txt", str(tmp_path / "secret.txt"), "link.png"):
        values["figures"] = [{"file": name, "title": "A secret"}]
        experiment.write_text(yaml.safe_dump(values))
        typed = ddecli("report", experiment, "--out", paper)
        assert_one_sentence(typed, experiment.name, LEAVES)
        assert not (paper / "reproduction.html").exists()
