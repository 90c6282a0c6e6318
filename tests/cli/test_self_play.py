"""Self-play as it is typed: iterations that follow each other, stop, and go on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from cli_checks import assert_one_sentence, contents
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file

from ddecli.data.store import PairStore
from ddecli.selfplay import iterations as of_iterations
from ddecli.training import trainer as of_trainer

UNET = "model/unet/diffusion_pytorch_model.safetensors"
Run = Callable[..., Any]


@pytest.fixture
def spin(ddecli: Run, sd_folder: Path, sd_store: Path) -> Run:
    """`ddecli train` in two short iterations; options may be added."""

    def typed(*words: object, out: str = "run", loss: str = "spin") -> Any:
        return ddecli(
            "train", "--model", sd_folder, "--data", sd_store, "--loss", loss, "--iterations", 2, "--steps", 3,
            "--batch-size", 4, "--micro-batch-size", 4, "--lr", 1e-3, "--beta", 50, "--checkpoint-every", 2, "--out",
            out, "--device", "cpu", *words,
        )  # fmt: skip

    return typed


def test_each_iteration_plays_against_the_one_before(spin: Run, sd_folder: Path) -> None:
    typed = spin()
    assert typed.code == 0, typed.error
    first, last = (yaml.safe_load(Path(f"{run}/run.yaml").read_text()) for run in ("run/iteration-1", "run"))
    assert first["model"] == str(sd_folder) and last["model"] == "run/iteration-1"
    assert [each["data"] for each in (first, last)] == ["run/pairs-1", "run/pairs-2"]
    assert first["seed"] == 0 != last["seed"]
    for run in ("run/iteration-1", "run"):  # policy = reference = opponent when an iteration begins: ln 2
        line = json.loads(Path(f"{run}/metrics.jsonl").read_text().splitlines()[0])
        assert line["loss"] == pytest.approx(0.6931471824645996, abs=1e-7)
        assert line["error_policy_l"] == line["error_reference_l"]
    plans = [PairStore.open(Path(first["data"])).manifest["self_play"] for first in (first, last)]
    assert plans[0]["unet_sha256"] != plans[1]["unet_sha256"] and [p["iteration"] for p in plans] == [1, 2]
    assert [plan["pairs"] for plan in plans] == [12, 12]
    weights = [load_file(f"{run}/{UNET}") for run in ("run/iteration-1", "run")]
    assert any(not torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    StableDiffusionPipeline.from_pretrained("run/model", safety_checker=None)  # as any model


@pytest.mark.two_threads
def test_a_stopped_game_ends_in_the_same_model(spin: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped within the first iteration's steps, among the second one's losers, and within its steps."""
    assert spin(out="whole").code == 0
    step, draw = of_trainer.Trainer.step, of_iterations.SelfPlayStore.draw
    stops: list[str] = []

    def stopping(self: Any, number: int, brake: Any) -> Any:
        name = f"{self.settings.out} {number}"
        if number == 2 and name not in stops:
            stops.append(name)
            raise KeyboardInterrupt
        return step(self, number, brake)

    def stopped(self: Any, share: tuple[int, int] = (1, 1)) -> None:
        if self.opponent.iteration == 2 and "losers" not in stops:
            stops.append("losers")
            raise KeyboardInterrupt
        draw(self, share)

    with monkeypatch.context() as patch:
        patch.setattr(of_trainer.Trainer, "step", stopping)
        patch.setattr(of_iterations.SelfPlayStore, "draw", stopped)
        assert [spin(*words).code for words in ((), *(("--resume",),) * 3)] == [130, 130, 130, 0]
    assert stops == ["run/iteration-1 2", "losers", "run 2"]
    for run in ("", "iteration-1/"):
        assert (Path("run") / run / UNET).read_bytes() == (Path("whole") / run / UNET).read_bytes()
    before = contents("run")
    again = spin("--resume")
    assert again.code == 0 and "is finished" in again.error
    assert contents("run") == before


def test_other_losses_play_too(spin: Run, ddecli: Run, sd_folder: Path, sd_store: Path) -> None:
    assert spin("--pairs", "self-play", loss="dde").code == 0
    assert json.loads(Path("run/metrics.jsonl").read_text().splitlines()[0])["loss"] == pytest.approx(
        0.6931471824645996, abs=1e-7
    )
    typed = ddecli("train", "--loss", "dde", "--pairs", "self-play", "--iterations", 2, "--dry-run")
    assert yaml.safe_load(typed.out)["out"] == "runs/tiny-dde-self-play"
    lines = ddecli("train", "--loss", "spin", "--dry-run").out.splitlines()
    assert [line.split("#")[1].strip() for line in lines if line.startswith(("pairs:", "iterations: 3"))] == [
        "loss spin",
        "loss spin",
    ]


def test_adapters_become_part_of_the_next_opponent(spin: Run, sd_folder: Path) -> None:
    assert spin("--lora", 2).code == 0
    assert yaml.safe_load(Path("run/run.yaml").read_text())["model"] == "run/iteration-1"
    first = json.loads(Path("run/metrics.jsonl").read_text().splitlines()[0])
    assert first["loss"] == pytest.approx(0.6931471824645996, abs=1e-7)


def test_what_cannot_be_played_is_refused(spin: Run, ddecli: Run, sd_store: Path) -> None:
    assert_one_sentence(ddecli("train", "--iterations", 2), "--iterations 2 goes with --pairs self-play")
    assert_one_sentence(
        ddecli("train", "--loss", "sft", "--pairs", "self-play"), "sft looks at no rejected pictures"
    )
    assert spin().code == 0
    before = contents("run")
    assert_one_sentence(spin(), "run holds a self-play", "--resume")
    assert_one_sentence(spin("--resume", "--beta", 9), "started with beta 50.0, not 9.0")
    assert_one_sentence(spin("--resume", "--iterations", 3), "started with iterations 2, not 3")
    assert contents("run") == before
    shutil.copytree("run/iteration-1", "other")
    assert_one_sentence(spin(out="other"), "other holds a run that is no self-play")
    Path("taken/pairs-1").mkdir(parents=True)
    Path("taken/pairs-1/mine.txt").write_text("mine")
    assert_one_sentence(spin(out="taken"), "taken/pairs-1 is no pair store of self-play")
    assert Path("taken/pairs-1/mine.txt").read_text() == "mine"


def test_a_game_of_other_settings_is_replaced(spin: Run) -> None:
    assert spin("--seed", 1).code == 0
    one = Path("run", UNET).read_bytes()
    assert spin("--overwrite").code == 0
    assert spin(out="alone").code == 0
    assert Path("run", UNET).read_bytes() == Path("alone", UNET).read_bytes() != one
