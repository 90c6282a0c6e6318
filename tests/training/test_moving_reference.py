"""A reference that follows the policy: what it is, and that a run goes on with it bit for bit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from ddecli.core.errors import UserError
from ddecli.training.checkpoint import load_checkpoint
from ddecli.training.errors import errors_by_row
from ddecli.training.loop import train
from ddecli.training.moving_reference import MovingReference
from ddecli.training.record import Brake
from ddecli.training.reference_pass import make_reference_errors
from ddecli.training.settings import TrainSettings, resolve_settings
from ddecli.training.trainer import Trainer

Make = Callable[..., TrainSettings]
CPU = torch.device("cpu")


def metrics(run: TrainSettings) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    return [
        {key: value for key, value in line.items() if key not in ("pairs_per_second", "memory_mb")}
        for line in lines
    ]


def weights(run: TrainSettings) -> dict[str, torch.Tensor]:
    (file,) = (
        (run.folder / "model").rglob("*unet*/*.safetensors")
        if run.lora is None
        else run.folder.glob("model/pytorch_lora_weights.safetensors")
    )
    return load_file(file)


@pytest.mark.parametrize("lora", [None, 2])
def test_the_reference_is_the_average_of_the_weights_of_all_steps(settings: Make, lora: int | None) -> None:
    """Written out from the weights after each step, and asked beside a U-Net that has them for its own."""
    trainer = Trainer(settings(loss="linear-dpo", beta=50.0, reference_ema=0.6, lora=lora))
    assert isinstance(trainer.reference, MovingReference) and trainer.base is None and trainer.kept is None
    expected = {name: value.detach().clone() for name, value in trainer.parameters.items()}
    for step in range(3):
        trainer.step(step, Brake(Path("checkpoints"), 1e9))
        for name, value in trainer.parameters.items():
            expected[name] = 0.6 * expected[name] + 0.4 * value.detach()
    for name, value in trainer.reference.average.values.items():
        torch.testing.assert_close(value, expected[name], rtol=1e-5, atol=1e-8)

    batch = trainer.batches(range(6))
    own = {name: value.detach().clone() for name, value in trainer.parameters.items()}
    with torch.no_grad():
        of_policy = errors_by_row(trainer.model, batch, trainer.autocast())
        with trainer.reference.as_reference():
            found = errors_by_row(trainer.reference, batch, trainer.autocast())
        assert torch.equal(errors_by_row(trainer.model, batch, trainer.autocast()), of_policy)
        for name, value in trainer.parameters.items():
            assert torch.equal(value, own[name])
            value.copy_(trainer.reference.average.values[name])
        assert torch.equal(errors_by_row(trainer.model, batch, trainer.autocast()), found)
    assert not torch.equal(found, of_policy)


def test_a_run_begins_at_half_the_difference_of_its_errors(settings: Make) -> None:
    run = settings(loss="linear-dpo", steps=2)
    assert run.reference_ema == 0.99
    train(run)
    first, second = metrics(run)
    assert first["error_policy_w"] == first["error_reference_w"] and first["margin"] == 0
    assert first["loss"] == pytest.approx((first["error_policy_w"] - first["error_policy_l"]) / 2, abs=1e-7)
    assert second["margin"] != 0
    assert json.loads((run.folder / "perf.json").read_text())["reference_draws"]["computed"] == 16


def test_no_errors_of_it_are_kept_or_read(settings: Make, tmp_path: Path) -> None:
    """Another run's are those of another reference."""
    for name, changed in (("frozen", {}), ("moving", {"reference_ema": 0.5})):
        run = settings(loss="uniform", reference="keep", steps=3, out=str(tmp_path / name), **changed)
        train(run)
    assert json.loads((run.folder / "perf.json").read_text())["reference_draws"]["read"] == 0
    alone = settings(loss="uniform", steps=3, out=str(tmp_path / "alone"), reference_ema=0.5)
    train(alone)
    assert (
        metrics(run) == metrics(alone)
        and metrics(run)[2] != metrics(settings(out=str(tmp_path / "frozen")))[2]
    )


def test_held_out_pairs_are_compared_with_the_model_at_the_start(
    settings: Make, sd_store: Path, tmp_path: Path
) -> None:
    """Two trainings with the same policy, for one step: what is said of it does not depend on the reference."""
    said = []
    for name, decay in (("frozen", None), ("moving", 0.5)):
        run = settings(
            loss="uniform", steps=1, holdout=str(sd_store), reference_ema=decay, out=str(tmp_path / name)
        )
        train(run)
        said.append((run.folder / "holdout.jsonl").read_text())
    assert said[0] == said[1]


@pytest.mark.two_threads
@pytest.mark.parametrize("lora", [None, 2])
def test_killed_it_goes_on_bit_for_bit(settings: Make, tmp_path: Path, lora: int | None) -> None:
    given = {"loss": "linear-dpo", "reference_ema": 0.8, "steps": 8, "checkpoint_every": 1, "lora": lora}
    straight, killed = (settings(out=str(tmp_path / name), **given) for name in ("straight", "killed"))
    train(straight)
    (tmp_path / "killed.yaml").write_text(yaml.safe_dump(killed.model_dump()))
    command = [sys.executable, "-m", "ddecli", "train", "--config", str(tmp_path / "killed.yaml"), "--resume"]
    environment = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    log = killed.folder / "metrics.jsonl"
    while process.poll() is None and not (log.exists() and len(log.read_text().splitlines()) >= 3):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    train(killed, resume=True)
    assert metrics(straight) == metrics(killed)
    assert all(torch.equal(value, weights(killed)[name]) for name, value in weights(straight).items())
    left, right = (load_checkpoint(run.folder / "checkpoints", CPU) for run in (straight, killed))
    assert left is not None and right is not None and left.reference and right.reference
    assert all(torch.equal(value, right.reference[name]) for name, value in left.reference.items())


def test_a_loss_without_a_reference_has_none_that_moves() -> None:
    with pytest.raises(UserError, match="--reference-ema: the loss mapo looks at no reference; leave it out"):
        resolve_settings({"model": "tiny", "loss": "mapo", "reference_ema": 0.9})


def test_its_errors_are_not_made_ahead(settings: Make) -> None:
    for changed in ({"loss": "linear-dpo"}, {"loss": "dspo"}, {"loss": "uniform", "reference_ema": 0.9}):
        with pytest.raises(UserError, match=r"asks for no errors of a reference that could be kept"):
            make_reference_errors(settings(reference="keep", **changed))
