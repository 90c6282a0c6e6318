"""`train --lora-format`: which files a LoRA run leaves, that each is sampled alike, and what stops the second one."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from cli_checks import assert_one_sentence, contents

Run = Callable[..., Any]
DIFFUSERS, KOHYA = "pytorch_lora_weights.safetensors", "mine-kohya.safetensors"


@pytest.fixture
def train(ddecli: Run, sd_folder: Path, sd_store: Path) -> Run:
    """Train small adapters into the folder `mine`."""
    arguments = ("--model", sd_folder, "--data", sd_store, "--out", "mine", "--device", "cpu", "--lora", 2)
    arguments += ("--batch-size", 2, "--steps", 2, "--lr", 0.01, "--warmup", 0)
    return lambda *more: ddecli("train", *arguments, *more)


def weight_files(run: str = "mine") -> set[str]:
    return {file.name for file in (Path(run) / "model").glob("*.safetensors")}


def test_both_by_default_and_each_is_sampled_alike(train: Run, ddecli: Run) -> None:
    assert train().code == 0
    assert weight_files() == {DIFFUSERS, KOHYA}
    assert yaml.safe_load(Path("mine/run.yaml").read_text())["lora_format"] == "both"
    sample = ("--prompt", "a red circle", "--steps", 2, "--images-per-prompt", 2)
    assert ddecli("sample", "mine", *sample, "--out", "of-diffusers").code == 0
    shutil.rmtree("mine")
    assert train("--lora-format", "kohya").code == 0
    assert weight_files() == {KOHYA}
    assert ddecli("sample", "mine", *sample, "--out", "of-kohya").code == 0
    pictures = {name: data for name, data in contents("of-diffusers").items() if name.endswith(".png")}
    assert len(pictures) == 3 and pictures.items() <= contents("of-kohya").items()


def test_another_format_of_a_finished_run(train: Run) -> None:
    assert train("--lora-format", "diffusers").code == 0
    assert weight_files() == {DIFFUSERS}
    before = contents("mine/model")[DIFFUSERS]
    assert train("--lora-format", "both", "--resume").code == 0
    assert weight_files() == {DIFFUSERS, KOHYA} and contents("mine/model")[DIFFUSERS] == before
    left = contents("mine")
    assert train("--resume").code == 0
    assert contents("mine") == left


def test_without_adapters_there_is_no_format(ddecli: Run, sd_folder: Path, sd_store: Path) -> None:
    typed = ddecli(
        "train", "--model", sd_folder, "--data", sd_store, "--lora-format", "kohya", "--out", "mine"
    )
    assert_one_sentence(typed, "--lora-format kohya goes with --lora")
    assert not Path("mine").exists()


def test_a_second_file_that_cannot_be_written(train: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is lost: the weights are in the checkpoint, and what an earlier training left stays."""

    def refuse(file: Path, *_: Any, **__: Any) -> None:
        file.write_bytes(b"half of it")
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    with monkeypatch.context() as patch:
        patch.setattr("ddecli.models.base.save_kohya", refuse)
        assert_one_sentence(train(), "Cannot write mine/model: Permission denied")
        assert not Path("mine/model").exists() and Path("mine/checkpoints/step-000002").is_dir()
    assert train("--resume", "--lora-format", "diffusers").code == 0
    first = contents("mine/model")
    with monkeypatch.context() as patch:
        patch.setattr("ddecli.models.base.save_kohya", refuse)
        assert_one_sentence(train("--resume"), "Cannot write mine/model: Permission denied")
    assert contents("mine/model") == first and weight_files() == {DIFFUSERS}
    assert train("--resume").code == 0
    assert weight_files() == {DIFFUSERS, KOHYA}
