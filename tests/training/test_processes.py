"""Two processes do the same as one, each with the whole model (DDP) or with a shard of it (FSDP2), through gloo.

The shipped launch configurations are used; on a machine without GPUs accelerate starts processes on the processor.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from pair_data import pairs
from run_configs import DRAWS
from safetensors.torch import load_file

import ddecli.training
from ddecli.data.prepare import prepare
from ddecli.data.store import PairStore
from ddecli.models.load import load_model
from ddecli.selfplay.iterations import play
from ddecli.training import auto_beta
from ddecli.training.loop import train
from ddecli.training.settings import TrainSettings

Make = Callable[..., TrainSettings]
CONFIGURATIONS = Path(ddecli.training.__file__).parent / "launch"
ROUNDING = 3e-4
UNET = "model/unet/diffusion_pytorch_model.safetensors"
LORA = "model/pytorch_lora_weights.safetensors"


def metrics(run: TrainSettings) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]


def evaluations(run: TrainSettings) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run.folder / "holdout.jsonl").read_text().splitlines()]


def losses(run: TrainSettings) -> list[float]:
    return [line["loss"] for line in metrics(run)]


def chosen_size(run: TrainSettings) -> int:
    found: int = yaml.safe_load((run.folder / "run.yaml").read_text())["micro_batch_size"]
    return found


@pytest.fixture(autouse=True)
def _few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """An odd number, of which one process looks at one too many."""
    monkeypatch.setattr(auto_beta, "DRAWS", DRAWS)


def launch(configuration: str, port: int, *runs: TrainSettings) -> None:
    """Run trainings one after the other in two processes."""
    files = []
    for number, run in enumerate(runs):
        files.append(run.folder.with_name(f"{run.folder.name}-{number}.yaml"))
        files[-1].write_text(yaml.safe_dump(run.model_dump()))
    command = [
        sys.executable, "-m", "accelerate.commands.launch", "--config_file", CONFIGURATIONS / configuration,
        "--num_processes", "2", "--main_process_port", str(port), Path(__file__).with_name("run_configs.py"), *files,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr[-3000:]
    for run in runs:
        assert json.loads((run.folder / "perf.json").read_text())["processes"] == 2


def assert_same_weights(one: TrainSettings, two: TrainSettings, file: str) -> None:
    left, right = load_file(one.folder / file), load_file(two.folder / file)
    assert left.keys() == right.keys()
    for name, value in left.items():
        torch.testing.assert_close(right[name], value, rtol=0, atol=1e-5, msg=name)


@pytest.fixture
def make(settings: Make, tmp_path: Path) -> Make:
    """Short runs whose weights stay comparable: a small rate, and two micro-batches a step on two processes."""

    def make(name: str, **changed: Any) -> TrainSettings:
        given = {"out": str(tmp_path / name), "steps": 3, "beta": 1.0, "lr": 1e-5, "micro_batch_size": 2}
        return settings(**given | changed)

    return make


def test_two_processes_with_the_whole_model_each(make: Make, sd_folder: Path, sd_store: Path) -> None:
    """Both kinds of weights, all kinds of losses, and self-play, in one launch."""
    whole = [make(f"whole-{count}", credit_gradients=3) for count in (1, 2)]
    # A rate at which margins of held-out pairs are well above the rounding of the errors that they are differences of.
    held_out = {"holdout": str(sd_store), "holdout_pairs": 6, "evaluate_every": 2}
    lora = [make(f"lora-{count}", lora=2, lr=5e-3, **held_out) for count in (1, 2)]
    others = runs_that_are_not_alike(make, sd_folder)
    games = self_play(make)
    launch("8-gpus-ddp.yaml", 29611, *(two for _, two in (whole, lora, *others, *games)))
    for one, two in (whole, lora, *others, *games):
        run = play if one.is_game else train
        run(one)
        np.testing.assert_allclose(losses(two), losses(one), rtol=ROUNDING, err_msg=one.loss)
    check_records(*whole)
    for left, right in zip(*map(evaluations, lora), strict=True):
        assert left == pytest.approx(right, rel=1e-2)
    assert metrics(lora[1])[0]["logit"] == 0 and metrics(lora[1])[-1]["logit_std"] > 0
    for one, two in others:
        betas = [yaml.safe_load((run.folder / "run.yaml").read_text())["beta"] for run in (one, two)]
        assert betas[0] == betas[1] != "auto"
        assert chosen_size(one) == chosen_size(two) == (8 if one.beta == "auto" else one.micro_batch_size)
    check_games(*games)


def runs_that_are_not_alike(make: Make, sd_folder: Path) -> list[list[TrainSettings]]:
    """Losses with a memory of their own, that look at more than errors, or have no reference; votes; a beta."""
    names = ("kto", "linear-dpo", "dspo", "sdpo", "mapo")
    runs = [[make(f"{name}-{count}", loss=name, steps=2) for count in (1, 2)] for name in names]
    voted = [replace(pair, strength=0.5 + number / 40) for number, pair in enumerate(pairs(20))]
    store = runs[0][0].folder.with_name("votes")
    prepare(voted, load_model(str(sd_folder)), store, source="test")
    of_votes = {"loss": "uniform", "labels": "soft", "data": str(store), "beta": 500.0}
    runs.append([make(f"votes-{count}", **of_votes) for count in (1, 2)])
    of_share = {"loss": "uniform", "beta": "auto", "steps": 2, "micro_batch_size": "auto", "batch_size": 16}
    runs.append([make(f"share-{count}", **of_share) for count in (1, 2)])
    return runs


def self_play(make: Make) -> list[list[TrainSettings]]:
    """A game, and one whose reference is chosen."""
    in_two = {"loss": "spin", "steps": 2, "iterations": 2, "batch_size": 4}
    # Of this seed the second iteration plays against the model at the start, the third against that of the first.
    in_three = {"loss": "seppo", "seed": 2, "steps": 2, "iterations": 3, "batch_size": 4, "beta": 300.0}
    return [[make(f"{game['loss']}-{count}", **game) for count in (1, 2)] for game in (in_two, in_three)]


def check_records(one: TrainSettings, two: TrainSettings) -> None:
    assert_same_weights(one, two, UNET)
    left, right = (np.load(run.folder / "credit.npz") for run in (one, two))
    np.testing.assert_allclose(left["table_means"], right["table_means"], rtol=1e-4)
    np.testing.assert_allclose(left["gradient_norm_sum"], right["gradient_norm_sum"], rtol=1e-3)
    assert right["gradient_norm_count"].sum() == 8  # of the draws 0 to 23


def check_games(games: list[TrainSettings], semi: list[TrainSettings]) -> None:
    references = [yaml.safe_load((game.folder / "run.yaml").read_text())["reference_model"] for game in semi]
    assert references == [str(game.folder / "iteration-1") for game in semi]
    stores = [PairStore.open(game.folder / "pairs-1") for game in games]
    everything = torch.arange(len(stores[0]) * 2)
    torch.testing.assert_close(
        stores[0].latents(everything), stores[1].latents(everything), rtol=0, atol=1e-3
    )


def test_two_processes_with_a_shard_each(make: Make, tmp_path: Path) -> None:
    """Losses, averaged weights and table are one process's; checkpoints can be exchanged between both ways."""
    one = make("one", weight_ema=0.99, checkpoint_every=1)
    first, two = (make("two", weight_ema=0.99, checkpoint_every=1, steps=steps) for steps in (2, 3))
    measured = {"beta": "auto", "beta_share": 0.4, "micro_batch_size": "auto"}
    lora = make(
        "lora", lora=2, lr=1e-3, steps=2, precision="bfloat16", gradient_checkpointing=True, **measured
    )
    launch("8-gpus-fsdp2.yaml", 29613, first, two, lora)
    train(one)
    np.testing.assert_allclose(losses(two), losses(one), rtol=ROUNDING)
    norms = [[line["gradient_norm"] for line in metrics(run)] for run in (one, two)]
    np.testing.assert_allclose(norms[1], norms[0], rtol=1e-3)
    assert_same_weights(one, two, UNET)
    left, right = (np.load(run.folder / "credit.npz") for run in (one, two))
    np.testing.assert_allclose(left["table_means"], right["table_means"], rtol=1e-4)
    shutil.rmtree(two.folder / "checkpoints" / "step-000003")
    shutil.copytree(two.folder, tmp_path / "alone")
    alone = make("alone", weight_ema=0.99, checkpoint_every=1)
    shutil.rmtree(alone.folder / "model")
    (alone.folder / "run.yaml").unlink()
    train(alone, resume=True)
    np.testing.assert_allclose(losses(alone)[2], losses(one)[2], rtol=ROUNDING)
    assert_same_weights(one, alone, UNET)
    assert metrics(lora)[0]["loss"] == pytest.approx(math.log(2), abs=1e-7)
    assert metrics(lora)[0]["logit"] == 0 and metrics(lora)[-1]["logit_std"] > 0
    assert all("lora" in name for name in load_file(lora.folder / LORA))
    assert chosen_size(lora) == 1  # with shards none is tried
    alone = lora.model_copy(update={"out": str(tmp_path / "lora-alone"), "steps": 1})
    train(alone)  # sharded adapters are asked by both processes together
    betas = [yaml.safe_load((run.folder / "run.yaml").read_text())["beta"] for run in (lora, alone)]
    assert betas[0] == pytest.approx(betas[1], rel=0.05)  # the second digit, where bfloat16 rounds otherwise
