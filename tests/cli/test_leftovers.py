"""What killed commands left is gone after the next one, what others are writing is not; files are as any other."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from killed import temporaries, writing
from pair_data import write_folder

Run = Callable[..., Any]
ROWS: list[dict[str, object]] = [{"prompt": "a", "chosen": "0.png", "rejected": "1.png"}]


@pytest.fixture
def train(ddecli: Run, sd_folder: Path, sd_store: Path) -> Run:
    words = ("train", "--model", sd_folder, "--data", sd_store, "--out", "run", "--device", "cpu")
    return lambda *more: ddecli(*words, "--batch-size", 2, "--checkpoint-every", 1, *more)


def test_a_training_that_goes_on_removes_what_a_killed_one_left(train: Run) -> None:
    assert train("--steps", 2).code == 0
    checkpoint, model = Path("run/checkpoints/step-000003"), Path("run/model")
    with writing(checkpoint, model, Path("run/credit.npz.d")) as dead:
        dead.kill()
        dead.wait()
        left = temporaries(Path("run"))
        assert len(left) == 3
        with writing(checkpoint, model):
            living = temporaries(Path("run")) - left
            typed = train("--steps", 3, "--resume")
            assert typed.code == 0, typed.error
            assert temporaries(Path("run")) == living
            assert all((path / path.name.split(".")[1] / "weights").exists() for path in living)
    assert train("--steps", 3, "--resume").code == 0
    assert not temporaries(Path("run"))


COMMANDS: dict[str, tuple[tuple[str, ...], str]] = {
    "prepare": (("--model", "{model}", "--data", "pictures", "--out", "out/store"), "out/store"),
    "sample": (("{model}", "--prompt", "a", "--steps", "1", "--out", "out"), "out/model"),
    "score": (
        ("pictures", "--prompt", "a", "--metric", "clip", "--family", "tiny", "--out", "out"),
        "out/scores",
    ),
    "figure": (("coefficients", "--out", "out/figure"), "out/figure.png"),
    "world": (("show", "--out", "out/world.png"), "out/world.png"),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_removes_what_was_left_where_it_writes(
    ddecli: Run, sd_folder: Path, command: str
) -> None:
    write_folder(Path("pictures"), ROWS, 2)
    words, place = COMMANDS[command]
    with writing(Path(place)) as dead:
        dead.kill()
        dead.wait()
        assert len(temporaries(Path("out"))) == 1
    typed = ddecli(command, *(word.format(model=sd_folder) for word in words))
    assert typed.code == 0, typed.error
    assert not temporaries(Path("out"))


FOLDERS = ("run", "lora", "merged", "store", "images")


@pytest.mark.parametrize("umask", [0o022, 0o027])
def test_what_commands_write_may_be_read_as_any_other_file(
    ddecli: Run, train: Run, sd_folder: Path, umask: int
) -> None:
    """safetensors keeps what it writes to its owner: a colleague could not train on the store."""
    write_folder(Path("pictures"), ROWS, 2)
    (sd_folder / "model_index.json").chmod(0o400)
    before = os.umask(umask)
    try:
        assert train("--steps", 1).code == 0
        assert train("--steps", 1, "--lora", 2, "--out", "lora").code == 0
        assert ddecli("merge", "lora", "--out", "merged").code == 0
        assert ddecli("merge", "lora", "--out", "merged/single.safetensors").code == 0
        assert ddecli("prepare", "--model", sd_folder, "--data", "pictures", "--out", "store").code == 0
        assert ddecli("sample", "run", "--prompt", "a", "--steps", 1, "--out", "images").code == 0
        assert ddecli("score", "images", "--metric", "clip", "--family", "tiny").code == 0
        assert ddecli("card", "run", "images").code == 0
        assert ddecli("inception", "images", "--classifier", "tiny", "--splits", 1).code in (0, 2)
    finally:
        os.umask(before)
        (sd_folder / "model_index.json").chmod(0o644)
    written = [path for folder in FOLDERS for path in Path(folder).rglob("*")]
    assert any(path.suffix == ".safetensors" for path in written) and len(written) > 20
    for path in written:
        usual = (0o777 if path.is_dir() else 0o666) & ~umask
        assert stat.S_IMODE(path.stat().st_mode) == usual, path
