"""Pipes, links and files that may not be read, given to every command: said at once, and nothing is replaced.

A pipe stands for a device: no test gives a device to an option that writes.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_checks import assert_one_sentence, contents
from pair_data import png, write_folder
from run_folders import write_run
from score_sets import score_set, write
from somebody_else import locked

Run = Callable[..., Any]
ROWS: list[dict[str, object]] = [
    {"prompt": "a", "chosen": "0.png", "rejected": "1.png"},
    {"prompt": "b", "chosen": "2.png", "rejected": "3.png"},
]
WRITERS: list[tuple[tuple[str, ...], str]] = [
    (("prepare", "--model", "{sd}", "--data", "pictures"), ""),
    (("train", "--model", "{sd}", "--data", "{store}", "--steps", "1", "--batch-size", "1"), ""),
    (("sample", "{sd}", "--prompt", "a", "--steps", "1", "--images-per-prompt", "1"), ""),
    (("score", "pictures", "--prompt", "a", "--metric", "clip", "--family", "tiny"), ""),
    (("choose", "base", "base"), ""),
    (("table", "2", "BASE=base"), ".md"),
    (("table", "2", "BASE=base"), ".tex"),
    (("figure", "coefficients"), ".pdf"),
    (("figure", "credit", "A=run"), ".json"),
    (("world", "show"), ""),
    (("world", "build"), ""),
]
"""Commands up to their `--out`, and what they add to it."""


@pytest.fixture
def scene(sd_folder: Path, sd_store: Path, tmp_path: Path) -> Callable[[str], str]:
    """What the commands read, beside them; fills in where models and pairs lie."""
    write_folder(Path("pictures"), ROWS, 4)
    write(score_set("base", {"clip": np.random.default_rng(0).random((4, 2))}), Path("base"))
    write_run(Path("run"), np.ones((3, 50)), np.ones((3, 50)))
    return lambda text: text.format(sd=sd_folder, store=sd_store)


@pytest.mark.parametrize(("words", "added"), WRITERS, ids=lambda value: " ".join(value[:2]))
@pytest.mark.parametrize("odd", ["pipe", "loop"])
def test_what_is_no_file_is_never_replaced(
    ddecli: Run, scene: Callable[[str], str], words: tuple[str, ...], added: str, odd: str
) -> None:
    place = Path(f"out{added}")
    os.mkfifo(place) if odd == "pipe" else place.symlink_to(place)
    before = (place.lstat().st_ino, place.lstat().st_mode, contents("."))
    said = "pipe" if odd == "pipe" else "Too many levels of symbolic links"
    typed = ddecli(*map(scene, words), "--out", "out")
    assert_one_sentence(typed, str(place), said if words[0] != "prepare" else "")
    assert (place.lstat().st_ino, place.lstat().st_mode, contents(".")) == before


READERS: list[tuple[str, ...]] = [
    ("prepare", "--model", "{sd}", "--data", "pipe"),
    ("prepare", "--model", "{sd}", "--data", "pictures", "--exclude-prompts", "pipe"),
    ("train", "--config", "pipe"),
    ("train", "--model", "pipe"),
    ("sample", "{sd}", "--prompts", "pipe"),
    ("sample", "{sd}", "--prompts", "partiprompts=pipe"),
    ("score", "pipe", "--prompt", "a"),
    ("score", "pictures", "--prompts", "pipe", "--family", "tiny"),
    ("choose", "pipe", "pipe"),
    ("table", "2", "A=pipe"),
    ("table", "4", "A=pipe"),
    ("figure", "credit", "A=pipe"),
    ("report", "pipe"),
]


@pytest.mark.parametrize("words", READERS, ids=" ".join)
@pytest.mark.parametrize(
    "ending", ["", ".parquet", ".jsonl", ".csv", ".json", ".tar", ".safetensors", ".png"]
)
def test_what_is_no_file_is_not_waited_for(
    ddecli: Run, scene: Callable[[str], str], words: tuple[str, ...], ending: str
) -> None:
    """Nobody writes into the pipe: whoever opens it waits for ever."""
    os.mkfifo(f"pipe{ending}")
    named = [scene(word).replace("pipe", f"pipe{ending}") for word in words]
    assert_one_sentence(
        ddecli(*named, *(("--out", "out") if words[0] in ("report", "figure") else ())), f"pipe{ending}"
    )
    assert stat.S_ISFIFO(Path(f"pipe{ending}").stat().st_mode)
    assert not Path("out").exists()


@pytest.mark.parametrize("name", ["1.png", "shard.parquet", "shard.tar", "rows.jsonl", "rows.csv"])
def test_what_is_no_file_in_a_folder_of_pairs(ddecli: Run, sd_folder: Path, name: str) -> None:
    folder = write_folder(Path("data"), ROWS, 4)
    (folder / "1.png").unlink()
    if name != "1.png":
        (folder / "metadata.jsonl").unlink()
    os.mkfifo(folder / name)
    typed = ddecli("prepare", "--model", sd_folder, "--data", "data", "--out", "out")
    assert_one_sentence(typed)
    listed = Path("out.bad-rows.jsonl")
    assert f"{name} is a pipe, not a file" in (listed.read_text() if name == "1.png" else typed.error)


def test_a_pipe_among_pictures_is_a_bad_one(ddecli: Run) -> None:
    folder = Path("pictures")
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.png").write_bytes(png(number))
    os.mkfifo(folder / "3.png")
    typed = ddecli(
        "score", folder, "--prompt", "a", "--metric", "clip", "--family", "tiny", "--device", "cpu"
    )
    assert typed.code == 0, typed.error
    (skipped,) = map(json.loads, (folder / "scores-skipped.jsonl").read_text().splitlines())
    assert skipped["file"] == "pictures/3.png" and "pipe" in skipped["detail"]


def test_a_link_to_a_file_stays_and_its_file_is_written(ddecli: Run, scene: Callable[[str], str]) -> None:
    Path("kept").mkdir()
    Path("kept/grid.json").write_text("old")
    Path("latest.json").symlink_to("kept/grid.json")
    typed = ddecli("figure", "coefficients", "--out", "latest")
    assert typed.code == 0, typed.error
    assert Path("latest.json").is_symlink()
    assert json.loads(Path("kept/grid.json").read_text())["figure"] == "coefficients"


def test_pairs_go_where_a_link_leads(ddecli: Run, sd_folder: Path) -> None:
    """Parts and store lie on the disk that the link leads to, or they could not be renamed into place."""
    write_folder(Path("data"), ROWS, 4)
    Path("disk/store").mkdir(parents=True)
    Path("out").symlink_to("disk/store")
    typed = ddecli("prepare", "--model", sd_folder, "--data", "data", "--out", "out")
    assert typed.code == 0, typed.error
    assert Path("out").is_symlink() and Path("disk/store/manifest.json").is_file()
    again = ddecli("prepare", "--model", sd_folder, "--data", "data", "--out", "out", "--overwrite")
    assert again.code == 0, again.error
    assert Path("out").is_symlink() and [path.name for path in Path("disk").iterdir()] == ["store"]


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written is not what is tested: everybody may, here and in the system's temporary folder."""
    Path.cwd().chmod(0o777)
    monkeypatch.setattr("tempfile.tempdir", str(Path.cwd()))


LOCKED: list[tuple[str, tuple[str, ...]]] = [
    ("{store}/latents-00000.safetensors", ("train", "--model", "{sd}", "--data", "{store}", "--out", "run2")),
    ("{store}/pairs.parquet", ("train", "--model", "{sd}", "--data", "{store}", "--out", "run2")),
    ("{store}/manifest.json", ("train", "--model", "{sd}", "--data", "{store}", "--out", "run2")),
    ("run/metrics.jsonl", ("figure", "curves", "A=run", "--out", "out")),
    ("run/credit.npz", ("figure", "credit", "A=run", "--out", "out")),
    ("base/scores.parquet", ("table", "2", "A=base")),
    ("base/scores.json", ("table", "2", "A=base")),
    ("prompts.txt", ("sample", "{sd}", "--prompts", "prompts.txt")),
    ("config.yaml", ("train", "--config", "config.yaml")),
    ("model/unet/diffusion_pytorch_model.safetensors", ("sample", "model", "--prompt", "a", "--out", "out")),
    ("model/text_encoder/model.safetensors", ("sample", "model", "--prompt", "a", "--out", "out")),
]


@pytest.mark.parametrize(("file", "words"), LOCKED, ids=lambda value: value if isinstance(value, str) else "")
@pytest.mark.usefixtures("shared")
def test_what_may_not_be_read_is_not_called_damaged(
    ddecli: Run,
    scene: Callable[[str], str],
    sd_folder: Path,
    sd_store: Path,
    file: str,
    words: tuple[str, ...],
) -> None:
    copies = {"{sd}": "model", "{store}": "store"}
    shutil.copytree(sd_folder, "model", copy_function=shutil.copyfile)
    shutil.copytree(sd_store, "store", copy_function=shutil.copyfile)
    Path("prompts.txt").write_text("a\n")
    Path("config.yaml").write_text("beta: 1\n")
    named = [copies.get(word, word) for word in words]
    file = file.replace("{store}", "store")
    with locked(Path(file).resolve(), folder=Path.cwd()):
        typed = ddecli(*named)
    assert_one_sentence(typed, file, "may not be read")
    assert "damaged" not in typed.error and "again" not in typed.error


@pytest.mark.usefixtures("shared")
def test_another_person_is_told_that_a_checkpoint_may_not_be_read(
    ddecli: Run, sd_folder: Path, sd_store: Path
) -> None:
    shutil.copytree(sd_folder, "model", copy_function=shutil.copyfile)
    shutil.copytree(sd_store, "store", copy_function=shutil.copyfile)
    train = (
        "train",
        "--model",
        "model",
        "--data",
        "store",
        "--device",
        "cpu",
        "--batch-size",
        2,
        "--out",
        "run",
    )
    assert ddecli(*train, "--steps", 2, "--checkpoint-every", 1).code == 0
    state = Path("run/checkpoints/step-000002/optimizer.pt").resolve()
    for path in (*Path("run").rglob("*"), Path("run")):
        path.chmod(path.stat().st_mode | 0o022)
    with locked(state, folder=Path.cwd()):
        typed = ddecli(*train, "--steps", 3, "--resume")
    assert_one_sentence(typed, "optimizer.pt", "may not be read")
    assert "damaged" not in typed.error
