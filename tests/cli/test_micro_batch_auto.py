"""`ddecli train --micro-batch-size auto`: the default of real models, a number in run.yaml, and a memory that fills."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import small_memory
import yaml
from cli_checks import assert_one_sentence, contents

Run = Callable[..., Any]
UNET = "model/unet/diffusion_pytorch_model.safetensors"


def words(model: Path, store: Path, *more: object) -> list[str]:
    given = [
        "train", "--model", model, "--data", store, "--loss", "uniform", "--steps", 4, "--batch-size", 8,
        "--lr", 1e-3, "--beta", 50, "--device", "cpu", "--reference", "compute", *more,
    ]  # fmt: skip
    return [str(word) for word in given]


def settings(run: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(Path(run, "run.yaml").read_text())
    return found


def test_who_gets_it_by_default(ddecli: Run, sd_folder: Path) -> None:
    for model in ("sd15", "sdxl", "somebody/model"):
        for more in ((), ("--lora", 4)):
            typed = ddecli("train", "--model", model, "--lr", 1e-5, *more, "--dry-run")
            line = next(line for line in typed.out.splitlines() if line.startswith("micro_batch_size"))
            assert (
                " ".join(line.split()) == "micro_batch_size: auto # default: measured before the first step"
            )
    for model in ("tiny", "tiny-xl", sd_folder):
        found = yaml.safe_load(ddecli("train", "--model", model, "--lr", 1e-5, "--dry-run").out)
        assert found["micro_batch_size"] == found["batch_size"]
    typed = ddecli("train", "--model", "sd15", "--micro-batch-size", 3, "--dry-run")
    assert yaml.safe_load(typed.out)["micro_batch_size"] == 3
    typed = ddecli("train", "--micro-batch-size", "auto", "--dry-run")
    assert yaml.safe_load(typed.out)["micro_batch_size"] == "auto"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("0", "--micro-batch-size 0: input should be greater than or equal to 1"),
        ("many", "'many' is neither a whole number nor auto"),
        ("2.5", "'2.5' is neither a whole number nor auto"),
    ],
)
def test_what_is_no_size_is_refused(ddecli: Run, given: str, said: str) -> None:
    typed = ddecli("train", "--micro-batch-size", given, "--dry-run")
    assert typed.code == 2 and said in typed.error


def test_a_memory_that_fills_in_a_process_of_its_own(ddecli: Run, sd_folder: Path, sd_store: Path) -> None:
    """Four pairs fit when it is tried, and two from the third step on: the command that is said goes on from there."""
    script = [sys.executable, small_memory.__file__]
    typed = words(sd_folder, sd_store, "--micro-batch-size", "auto", "--out", "run")
    done = subprocess.run([*script, "4", "2", "2", "--", *typed], capture_output=True, text=True)
    *_, said = done.stderr.strip().splitlines()
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert said == (
        "Error: Step 3 does not fit the memory of cpu with --micro-batch-size 4, which other programs may share: go on "
        "with --resume --micro-batch-size 2."
    )
    assert "micro-batch size 4: the largest that fits the memory" in done.stderr
    assert settings("run")["micro_batch_size"] == 4
    assert [path.name for path in Path("run/checkpoints").iterdir()] == ["step-000002"]
    went_on = [*typed, "--resume", "--micro-batch-size", "2"]
    done = subprocess.run([*script, "2", "--", *went_on], capture_output=True, text=True)
    assert done.returncode == 0 and "run goes on from step 2 of 4." in done.stderr, done.stderr
    assert settings("run")["micro_batch_size"] == 2
    done = subprocess.run([*script, "0", "--", *typed, "--out", "none"], capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith("Error: A pair does not fit the memory of cpu")
    assert not contents("none")


def test_an_estimate_that_does_not_fit_says_so(
    ddecli: Run, sd_folder: Path, sd_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A number that was given is not tried first; nothing is there to go on with."""
    small_memory.small_memory(monkeypatch.setattr, 4)
    typed = ddecli(*words(sd_folder, sd_store, "--micro-batch-size", 8, "--estimate"))
    assert_one_sentence(typed, "Too little memory on the device", "--micro-batch-size")


def test_a_run_repeats_with_its_number(
    ddecli: Run, sd_folder: Path, sd_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        small_memory.small_memory(patch.setattr, 4)
        typed = ddecli(*words(sd_folder, sd_store, "--micro-batch-size", "auto", "--out", "run"))
        assert typed.code == 0, typed.error
        estimate = ddecli(*words(sd_folder, sd_store, "--micro-batch-size", "auto", "--estimate", "--json"))
        assert json.loads(estimate.out)["micro_batch_size"] == 4
    assert ddecli("train", "--config", "run/run.yaml", "--out", "again").code == 0
    assert settings("again")["micro_batch_size"] == 4
    assert Path("again", UNET).read_bytes() == Path("run", UNET).read_bytes()
    again = ddecli(*words(sd_folder, sd_store, "--micro-batch-size", "auto", "--out", "run", "--resume"))
    assert again.code == 0 and "run is finished" in again.error
    assert_one_sentence(
        ddecli(*words(sd_folder, sd_store, "--micro-batch-size", "auto", "--out", "run")),
        "run holds a finished run",
    )


def test_errors_made_ahead_are_those_that_the_run_reads(
    ddecli: Run, sd_folder: Path, sd_store: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    store = tmp_path / "pairs"
    store.mkdir()
    for file in sd_store.iterdir():
        (store / file.name).symlink_to(file)
    small_memory.small_memory(monkeypatch.setattr, 4)
    more = ("--micro-batch-size", "auto", "--reference", "keep", "--out", "run")
    typed = ddecli(*words(sd_folder, store, *more, "--reference-only", "--json"))
    assert typed.code == 0 and json.loads(typed.out)["computed"] == 32, typed.error
    assert "errors on all 32 draws are kept" in ddecli(*words(sd_folder, store, *more, "--dry-run")).error
    assert ddecli(*words(sd_folder, store, *more)).code == 0
    draws = json.loads(Path("run/perf.json").read_text())["reference_draws"]
    assert draws == {"read": 32, "computed": 0} and settings("run")["micro_batch_size"] == 4
    played = ("--micro-batch-size", "auto", "--loss", "spin", "--iterations", 2, "--out", "game")
    typed = ddecli(*words(sd_folder, store, *played))
    assert typed.code == 0, typed.error
    assert [settings(run)["micro_batch_size"] for run in ("game/iteration-1", "game")] == [4, 4]
