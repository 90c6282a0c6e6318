"""`ddecli inception` as it is typed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
from cli_checks import assert_one_sentence
from PIL import Image

from ddecli.core.errors import UserError
from ddecli.core.sealed import read_sealed
from ddecli.core.world import TINY

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.save_classifier(tmp_path_factory.mktemp("classifier") / "classifier")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    path = tmp_path / "images"
    path.mkdir()
    for number in range(12):
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(path / f"{number:02d}.png")
    return path


def test_result_is_printed_and_written(ddecli: Run, folder: Path, classifier: Path) -> None:
    typed = ddecli("inception", folder, "--classifier", classifier, "--splits", 4)
    assert typed.code == 0, typed.error
    assert "Inception Score" in typed.out
    assert "standard deviation (n - 1)" in typed.out
    assert "12 images in 4 splits of a random order (seed 0)" in typed.out
    answer = json.loads(ddecli("inception", folder, "--classifier", classifier, "--splits", 4, "--json").out)
    assert answer == read_sealed(folder / "inception.json", "")
    assert answer["images"] == 12
    assert answer["conventions"]["std"] == "n - 1"
    assert answer["mean"] >= 1


def test_shards(ddecli: Run, folder: Path, classifier: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ddecli.scoring.logits.CHUNK", 6)
    arguments = ("inception", folder, "--classifier", classifier, "--splits", 2)
    with monkeypatch.context() as launched:  # by accelerate
        launched.setenv("RANK", "1")
        launched.setenv("WORLD_SIZE", "2")
        typed = ddecli(*arguments)
    assert (typed.code, "6 of 12 images classified so far" in typed.out) == (0, True)
    assert not (folder / "inception.json").exists()
    assert json.loads(ddecli(*arguments, "--shard", "2/2", "--json").out)["complete"] is False
    assert "Inception Score" in ddecli(*arguments, "--shard", "1/2").out
    assert json.loads((folder / "inception.json").read_text())["images"] == 12


def test_the_classifier_goes_by_the_world(
    ddecli: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert json.loads(ddecli("inception", folder, "--splits", 2, "--json").out)["classifier"]["model"] == (
        "tiny/classifier"
    )
    large = tmp_path / "large"
    large.mkdir()
    for number in range(2):
        Image.new("RGB", (65, 40), (number, 0, 0)).save(large / f"{number}.png")
    asked: list[str] = []

    def load(name: str) -> None:
        asked.append(name)
        raise UserError("not here.")

    monkeypatch.setattr("ddecli.scoring.inception_score.load_classifier", load)
    assert ddecli("inception", large, "--splits", 2).code == 2
    (large / "protocol.json").write_text(json.dumps({"resolution": 32, "world": TINY}))
    rows = [{"file_name": f"{number}.png", "prompt": "a", "image_index": number} for number in range(2)]
    (large / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert ddecli("inception", large, "--splits", 2).code == 2
    assert asked == ["inception", "tiny"]
    (large / "protocol.json").write_text(json.dumps({"resolution": 32, "world": None}))
    typed = ddecli("inception", large, "--splits", 2, "--classifier", "tiny")
    assert_one_sentence(typed, f"images of {large} are not of the tiny world", "--classifier inception")


def test_wrong_input_ends_in_one_sentence(
    ddecli: Run, folder: Path, classifier: Path, tmp_path: Path
) -> None:
    for arguments, sentence in (
        ((folder, "--classifier", classifier, "--splits", 20), "fewer than 20 splits"),
        ((folder, "--classifier", tmp_path), "no config.json"),
        ((folder, "--shard", "3/2"), "--shard"),
        ((tmp_path / "none",), "no folder of images"),
        ((tmp_path, "--classifier", classifier), "no image files"),
    ):
        typed = ddecli("inception", *arguments)
        assert typed.code == 2
        assert sentence in typed.error
        assert typed.error.count("\n") == 1
