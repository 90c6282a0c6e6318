"""`ddecli train --beta auto`: a number in run.yaml, from which the run repeats and goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from cli_checks import assert_one_sentence, contents

UNET = "model/unet/diffusion_pytorch_model.safetensors"
Run = Callable[..., Any]


@pytest.fixture(autouse=True)
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer than are looked at otherwise, and more than the runs make."""
    monkeypatch.setattr("ddecli.training.auto_beta.DRAWS", 20)


@pytest.fixture
def train(ddecli: Run, sd_folder: Path, sd_store: Path) -> Run:
    """`ddecli train --beta auto` of a few steps."""

    def typed(*words: object, out: str = "run", loss: str = "uniform", beta: object = "auto") -> Any:
        return ddecli(
            "train", "--model", sd_folder, "--data", sd_store, "--loss", loss, "--steps", 4, "--batch-size", 4,
            "--micro-batch-size", 4, "--lr", 1e-3, "--beta", beta, "--out", out, "--device", "cpu",
            "--checkpoint-every", 1, "--reference", "compute", *words,
        )  # fmt: skip

    return typed


def settings(run: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(Path(run, "run.yaml").read_text())
    return found


@pytest.mark.two_threads
def test_the_number_it_came_to_repeats_the_run(train: Run, ddecli: Run) -> None:
    typed = train()
    assert typed.code == 0, typed.error
    beta = settings("run")["beta"]
    assert isinstance(beta, float) and settings("run")["beta_share"] == 0.5
    assert f"beta {beta:g}: it leaves 50% of the gradient where the margin is" in typed.error
    assert ddecli("train", "--config", "run/run.yaml", "--out", "again").code == 0
    assert train(out="number", beta=beta).code == 0
    for run in ("again", "number"):
        assert Path(run, UNET).read_bytes() == Path("run", UNET).read_bytes()
    assert settings("number")["beta_share"] is None
    assert ddecli("train", "--config", "run/run.yaml", "--out", "other", "--beta", 9).code == 0
    assert (settings("other")["beta"], settings("other")["beta_share"]) == (9, None)
    assert train("--beta-share", 0.9, out="gentle").code == 0 and settings("gentle")["beta"] < beta / 3


@pytest.mark.two_threads
def test_a_stopped_run_goes_on_with_its_number(train: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert train(out="whole").code == 0
    assert train("--steps", 2).code == 0
    before = contents("run")
    assert_one_sentence(train("--resume", "--beta-share", 0.7), "started with beta_share 0.5, not 0.7")
    assert_one_sentence(train("--resume", beta=7), "started with beta", "not 7.0")
    assert contents("run") == before

    def measured(*given: object) -> float:
        raise AssertionError("its beta is known")

    with monkeypatch.context() as patch:
        patch.setattr("ddecli.training.trainer.measured_beta", measured)
        assert train("--resume").code == 0
        again = train("--resume")
    assert again.code == 0 and "is finished" in again.error
    assert Path("run", UNET).read_bytes() == Path("whole", UNET).read_bytes()
    assert train(out="plain", beta=50).code == 0
    assert_one_sentence(train("--resume", out="plain"), "started with beta 50.0, not 'auto'")
    other = settings("run")["beta"]  # another run is measured anew
    assert train("--overwrite", "--seed", 5, "--beta-share", 0.9).code == 0
    assert settings("run")["beta"] != other


def test_it_can_be_estimated_and_made_ahead_and_played(train: Run) -> None:
    typed = train("--estimate", "--json")
    assert typed.code == 0 and json.loads(typed.out)["steps"] == 4, typed.error
    typed = train("--reference", "keep", "--reference-only", "--json")
    assert typed.code == 0 and json.loads(typed.out)["computed"] == 16, typed.error
    assert not contents("run")
    assert train("--iterations", 2, loss="spin").code == 0
    betas = [settings(run)["beta"] for run in ("run/iteration-1", "run")]
    assert all(isinstance(beta, float) for beta in betas) and betas[0] != betas[1]
    assert train("--iterations", 2, "--resume", loss="spin").code == 0


def test_what_has_no_beta_to_measure_is_refused(train: Run) -> None:
    assert_one_sentence(train(loss="sft"), "--beta auto: the loss sft has no beta; leave it out")
    for loss in ("mapo", "dspo", "kto", "linear-dpo"):
        assert_one_sentence(train(loss=loss), f"beta of the loss {loss} is no factor before a margin")
    assert_one_sentence(train("--beta-share", 0.5, beta=5), "--beta-share 0.5 goes with --beta auto")
    assert_one_sentence(train("--beta-share", 1), "--beta-share 1.0: input should be less than 1")
    typed = train("--beta-share", 0.1, loss="robust")
    assert_one_sentence(typed, "--beta-share 0.1: the gradient of this loss never falls below 0.2")
    assert not contents("run")
    typed = train(beta="some")
    assert typed.code == 2 and "'some' is neither a number nor auto" in typed.error
