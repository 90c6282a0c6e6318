"""Pictures with captions as they are prepared and trained on: fine-tuning, self-play, and nothing that compares."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli_checks import assert_one_sentence
from pair_data import png

from ddecli.data.store import PairStore

UNET = "model/unet/diffusion_pytorch_model.safetensors"
Run = Callable[..., Any]
COUNT = 6


@pytest.fixture
def prepare(ddecli: Run, sd_folder: Path) -> Run:
    """`ddecli prepare` of six pictures with captions; options may be added."""
    for side, first in (("w", 0), ("l", 10)):
        Path("data", side).mkdir(parents=True, exist_ok=True)
        for number in range(COUNT):
            Path("data", side, f"{number}.png").write_bytes(png(first + number))
            Path("data", "w", f"{number}.txt").write_text(f"prompt {number % 4}")

    def typed(*words: object, data: str = "data/w") -> Any:
        return ddecli("prepare", "--model", sd_folder, "--data", data, "--out", "winners", *words)

    return typed


@pytest.fixture
def train(ddecli: Run, sd_folder: Path) -> Run:
    def typed(loss: str, data: str, out: str, *words: object) -> Any:
        return ddecli(
            "train", "--model", sd_folder, "--data", data, "--loss", loss, "--steps", 3, "--batch-size", 4,
            "--micro-batch-size", 4, "--lr", 1e-3, "--device", "cpu", "--out", out, *words,
        )  # fmt: skip

    return typed


def test_fine_tuning_is_that_on_the_winners_of_pairs(
    prepare: Run, train: Run, ddecli: Run, sd_folder: Path
) -> None:
    typed = prepare("--winners-only", "--json")
    assert typed.code == 0, typed.error
    summary = json.loads(typed.out)
    assert (summary["pairs"], summary["images"], summary["prompts"], summary["winners_only"]) == (
        6,
        6,
        5,
        True,
    )
    assert "Disk for 6 pictures: at most 6.14 kB for 6 pictures of 1.02 kB" in typed.error
    store = PairStore.open(Path("winners"))
    assert store.rejected_index is None and store.pair(0).rejected_sha256 is None
    assert ddecli("prepare", "--model", sd_folder, "--data", "data", "--out", "pairs").code == 0
    for data in ("winners", "pairs"):
        typed = train("sft", data, f"of-{data}")
        assert typed.code == 0, typed.error
    assert Path("of-winners", UNET).read_bytes() == Path("of-pairs", UNET).read_bytes()


def test_self_play_needs_no_losers(prepare: Run, train: Run) -> None:
    assert prepare("--winners-only").code == 0
    typed = train("spin", "winners", "run", "--iterations", 1, "--beta", 50)
    assert typed.code == 0, typed.error
    played = PairStore.open(Path("run/pairs-1"))
    assert played.rejected_index is not None and len(played) == COUNT


def test_what_compares_is_refused(prepare: Run, train: Run, ddecli: Run, sd_folder: Path) -> None:
    assert prepare("--winners-only").code == 0
    assert ddecli("prepare", "--model", sd_folder, "--data", "data", "--out", "pairs").code == 0
    for typed in (
        train("dde", "winners", "run"),
        train("kto", "winners", "run"),
        train("dde", "winners", "run", "--reference-only"),
        train("dde", "pairs", "run", "--holdout", "winners"),
    ):
        assert_one_sentence(typed, "winners holds pictures with captions, and no rejected ones")


def test_it_goes_on_and_duplicates_are_dropped(prepare: Run) -> None:
    shutil.copy("data/w/0.png", "data/w/again.png")
    shutil.copy("data/w/0.txt", "data/w/again.txt")
    assert prepare("--winners-only", "--holdout", 0.4).code == 0
    before = {file.name: file.read_bytes() for file in Path("winners").iterdir()}
    store, held = PairStore.open(Path("winners")), PairStore.open(Path("winners-holdout"))
    assert len(store) + len(held) == COUNT and held.rejected_index is None
    again = prepare("--winners-only", "--holdout", 0.4)
    assert again.code == 0 and "winners is complete" in again.error
    assert {file.name: file.read_bytes() for file in Path("winners").iterdir()} == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--relabel", "clip"), "--winners-only: --relabel has nothing to compare; leave one of both out."),
        (("--generate", "2"), "--data means nothing with --generate"),
    ],
)
def test_what_does_not_go_together(prepare: Run, words: tuple[str, ...], said: str) -> None:
    assert_one_sentence(prepare("--winners-only", *words), said)
    assert not Path("winners").exists()


def test_the_world_has_pairs(ddecli: Run) -> None:
    assert_one_sentence(ddecli("prepare", "--winners-only"), "--winners-only: the world has pairs")
