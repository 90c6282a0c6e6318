"""Training runs of a small random model: first loss, invariances, resuming, and what stock diffusers loads."""

from __future__ import annotations

import json
import math
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from safetensors.torch import load_file

from ddecli.core.errors import UserError
from ddecli.core.files import sha256_file
from ddecli.core.sealed import read_sealed, write_sealed
from ddecli.data.prepare import prepare
from ddecli.models.digests import model_sha256
from ddecli.models.load import load_model
from ddecli.tinyworld.pairs import world_pairs
from ddecli.training.errors import pair_errors
from ddecli.training.loop import train
from ddecli.training.settings import TrainSettings, resolve_settings
from ddecli.training.trainer import Trainer

Make = Callable[..., TrainSettings]
LOG_SIGMOID = ["uniform", "sdpo", "discounted", "dde", "dde-single", "dde-step"]
ROUNDING = 3e-4
"""AdamW divides by the gradient's size, so a rounding of 1e-7 in it grows over the steps."""
UNET = "model/unet/diffusion_pytorch_model.safetensors"


def metrics(run: str | Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (Path(run) / "metrics.jsonl").read_text().splitlines()]


def losses(run: str | Path) -> list[float]:
    return [line["loss"] for line in metrics(run)]


def weights(run: str | Path) -> dict[str, torch.Tensor]:
    return load_file(Path(run) / UNET)


@pytest.mark.parametrize("loss", LOG_SIGMOID)
def test_first_loss_is_ln_2_with_logit_0(settings: Make, loss: str) -> None:
    run = settings(loss=loss, steps=1)
    train(run)
    first = metrics(run.out)[0]
    assert first["loss"] == pytest.approx(math.log(2), abs=1e-7)
    assert first["logit"] == 0 and first["logit_std"] == 0
    assert first["error_policy_w"] == first["error_reference_w"]


@pytest.mark.parametrize(
    ("loss", "value"), [("ipo", 1 / 4), ("hinge", 1), ("cdpo", math.log(2)), ("robust", math.log(2))]
)
def test_first_loss_of_other_links(settings: Make, loss: str, value: float) -> None:
    run = settings(loss=loss, steps=2)
    train(run)
    first, second = metrics(run.out)
    assert first["loss"] == pytest.approx(value, abs=1e-7)
    assert first["logit"] is None and first["implicit_accuracy"] == 0.5 and second["margin"] != 0


def test_mapo_trains_without_a_reference(settings: Make) -> None:
    run = settings(loss="mapo", beta=0.1, steps=2)
    train(run)
    first, second = metrics(run.out)
    assert first["error_reference_w"] is None and first["implicit_accuracy"] is None
    assert first["loss"] > first["error_policy_w"] and second["loss"] != first["loss"]
    assert json.loads((run.folder / "perf.json").read_text())["reference_draws"] == {"read": 0, "computed": 0}


def test_dspo_begins_with_the_winners_error(settings: Make) -> None:
    run = settings(loss="dspo", beta=0.5, steps=2)
    train(run)
    first, second = metrics(run.out)
    assert first["loss"] == first["error_policy_w"] == first["error_reference_w"]
    assert second["margin"] != 0 and second["loss"] != second["error_policy_w"]


def test_kto_is_the_same_however_a_run_is_cut_and_stopped(settings: Make, tmp_path: Path) -> None:
    """Its baseline is part of the checkpoint, and of no micro-batch."""
    whole, halves, cut = (settings(loss="kto", steps=4, out=str(tmp_path / name)) for name in "abc")
    cut = cut.model_copy(update={"micro_batch_size": 3})
    for run in (whole, halves.model_copy(update={"steps": 2}), cut):
        train(run)
    train(halves, resume=True)
    assert losses(whole.out) == losses(halves.out)
    assert metrics(whole.out)[0]["loss"] == 0.5
    np.testing.assert_allclose(losses(cut.out), losses(whole.out), rtol=ROUNDING)
    assert "corrections" not in np.load(whole.folder / "credit.npz").files


def test_sft_lowers_the_winners_error(settings: Make) -> None:
    run = settings(loss="sft", steps=30, lr=3e-3)
    train(run)
    seen = losses(run.out)
    assert np.mean(seen[-5:]) < np.mean(seen[:5])


def test_the_tiny_model_learns_the_preference(tmp_path: Path) -> None:
    """On pairs that it sees again and again the shipped model soon prefers the winners."""
    prepare(world_pairs(24), load_model("tiny"), tmp_path / "pairs", source="world")
    given = {
        "model": "tiny",
        "data": str(tmp_path / "pairs"),
        "out": str(tmp_path / "run"),
        "loss": "uniform",
    }
    train(
        resolve_settings(given | {"steps": 25, "batch_size": 16, "lr": 1e-4, "beta": 320.0, "device": "cpu"})
    )
    late = metrics(tmp_path / "run")[-8:]
    assert np.mean([line["implicit_accuracy"] for line in late]) > 0.65
    assert np.mean([line["margin"] for line in late]) < 0


@pytest.mark.two_threads
@pytest.mark.parametrize("loss", ["dde", "dde-step", "uniform"])
def test_micro_batches_change_nothing_but_rounding(settings: Make, tmp_path: Path, loss: str) -> None:
    whole, cut = (
        settings(loss=loss, out=str(tmp_path / "8")),
        settings(loss=loss, micro_batch_size=3, out=str(tmp_path / "3")),
    )
    train(whole)
    train(cut)
    np.testing.assert_allclose(losses(cut.out), losses(whole.out), rtol=ROUNDING)


@pytest.mark.two_threads
def test_two_runs_are_the_same_bit_for_bit(settings: Make, tmp_path: Path) -> None:
    first, second = settings(out=str(tmp_path / "1")), settings(out=str(tmp_path / "2"))
    train(first)
    train(second)
    assert all(torch.equal(value, weights(second.out)[name]) for name, value in weights(first.out).items())
    assert losses(first.out) == losses(second.out)


@pytest.mark.two_threads
def test_a_resumed_run_ends_bit_for_bit_the_same(settings: Make, tmp_path: Path) -> None:
    straight = settings(steps=6, out=str(tmp_path / "straight"))
    train(straight)
    half = settings(steps=4, out=str(tmp_path / "halves"))
    train(half)
    train(settings(steps=6, out=str(tmp_path / "halves")), resume=True)
    for name, value in weights(straight.out).items():
        assert torch.equal(value, weights(half.out)[name]), name
    assert losses(straight.out) == losses(half.out)
    left, right = (np.load(Path(run.out) / "credit.npz") for run in (straight, half))
    for name in left.files:
        np.testing.assert_array_equal(left[name], right[name])


def _command(settings: TrainSettings, *extra: str) -> list[str]:
    config = Path(settings.out).with_suffix(".yaml")
    config.write_text(yaml.safe_dump(settings.model_dump()))
    return ["ddecli", "train", "--config", str(config), "--resume", *extra]


@pytest.mark.two_threads
def test_killed_at_any_moment_it_goes_on_to_the_same_weights(settings: Make, tmp_path: Path) -> None:
    straight = settings(steps=12, checkpoint_every=1, out=str(tmp_path / "straight"))
    train(straight)
    killed = settings(steps=12, checkpoint_every=1, out=str(tmp_path / "killed"))
    command = [sys.executable, "-m", *_command(killed)]
    environment = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    log = Path(killed.out) / "metrics.jsonl"
    while process.poll() is None and not (log.exists() and len(log.read_text().splitlines()) >= 3):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    subprocess.run(command, env=environment, check=True, capture_output=True)
    for name, value in weights(straight.out).items():
        assert torch.equal(value, weights(killed.out)[name]), name


def test_the_model_loads_with_stock_diffusers(settings: Make) -> None:
    run = settings(steps=2)
    train(run)
    pipeline = StableDiffusionPipeline.from_pretrained(Path(run.out) / "model", safety_checker=None)
    trained = weights(run.out)
    assert all(torch.equal(value, trained[name]) for name, value in pipeline.unet.state_dict().items())
    image = pipeline("a red circle", num_inference_steps=2, height=32, width=32, output_type="np").images
    assert np.isfinite(image).all()


def test_lora_has_no_second_unet_and_loads_with_stock_diffusers(
    settings: Make, sdxl_folder: Path, sdxl_store: Path
) -> None:
    run = settings(model=str(sdxl_folder), data=str(sdxl_store), lora=2, steps=3)
    train(run)
    assert metrics(run.out)[0]["loss"] == pytest.approx(math.log(2), abs=1e-7)
    assert metrics(run.out)[-1]["logit_std"] > 0
    pipeline = StableDiffusionXLPipeline.from_pretrained(sdxl_folder)
    pipeline.load_lora_weights(Path(run.out) / "model")
    adapters = [name for name, _ in pipeline.unet.named_parameters() if "lora_B" in name]
    assert adapters and any(pipeline.unet.get_parameter(name).abs().max() > 0 for name in adapters)


def test_segments_train_only_their_timesteps(settings: Make) -> None:
    run = settings(segment="0.3-0.4", steps=3)
    train(run)
    credit = np.load(Path(run.out) / "credit.npz")
    visited = credit["count"].sum(0) > 0
    assert visited.any() and not visited[:15].any() and not visited[20:].any()


@pytest.mark.parametrize("loss", ["dde", "sft"])
@pytest.mark.parametrize("micro_batch_size", [8, 3])
def test_the_norm_of_a_pairs_gradient(
    settings: Make, tmp_path: Path, loss: str, micro_batch_size: int
) -> None:
    """Against a batch of that pair alone, whose gradient is the step's; the training does not notice."""
    run = settings(
        loss=loss,
        steps=2,
        credit_gradients=5,
        micro_batch_size=micro_batch_size,
        out=str(tmp_path / "measured"),
    )
    train(run)
    plain = run.model_copy(update={"credit_gradients": None, "out": str(tmp_path / "plain")})
    train(plain)
    assert losses(run.out) == losses(plain.out)
    assert all(torch.equal(value, weights(plain.out)[name]) for name, value in weights(run.out).items())

    credit = np.load(Path(run.out) / "credit.npz")
    assert credit["gradient_norm_count"].sum(1).tolist() == [2, 2]  # draws 0 and 5, then 10 and 15
    trainer = Trainer(run)
    found = np.zeros(50)
    for number in (0, 5):
        batch = trainer.batches(range(number, number + 1))
        errors = pair_errors(trainer.model, trainer.reference, batch, trainer.autocast(), trainer.objective)
        trainer.objective(errors).loss.mean().backward()
        gradient = torch.cat([value.grad.flatten() for value in trainer.parameters.values()])
        found[int(batch.t[0]) // 20] += gradient.double().norm().item()
        trainer.optimizer.zero_grad()
    np.testing.assert_allclose(credit["gradient_norm_sum"][0], found, rtol=1e-4)


def test_what_a_run_leaves_behind(settings: Make) -> None:
    run = settings()
    train(run)
    left = {path.name for path in Path(run.out).iterdir()}
    assert left == {"run.yaml", "metrics.jsonl", "credit.npz", "checkpoints", "model", "perf.json"}
    written = TrainSettings(**yaml.safe_load((Path(run.out) / "run.yaml").read_text()))
    pairs = sha256_file(Path(run.data or "") / "manifest.json")
    started_from = {"pairs_sha256": pairs, "model_sha256": model_sha256(Path(run.model))}
    assert written == run.model_copy(update=started_from)
    assert [path.name for path in (Path(run.out) / "checkpoints").iterdir()] == ["step-000004"]


def test_speed_is_pairs_over_seconds(settings: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a clock that goes on by two seconds when it is read: twice a step, twice beside it, before and after all."""
    ticks = iter(range(1000, 2000, 2))
    clock = SimpleNamespace(monotonic=lambda: next(ticks))
    monkeypatch.setattr("ddecli.training.loop.time", clock)
    monkeypatch.setattr("ddecli.training.run_record.time", clock)
    run = settings(loss="sft", steps=3, batch_size=4, micro_batch_size=4)
    summary = train(run)
    assert [line["pairs_per_second"] for line in metrics(run.out)] == [4 / 2] * 3
    assert summary.seconds == 2 * (4 * 3 + 1) - 2 * 3
    assert summary.pairs_per_second == pytest.approx(3 * 4 / 20)
    written = json.loads((run.folder / "perf.json").read_text())
    assert (written["seconds"], written["pairs_per_second"]) == (20, 0.6)
    told = [line["loss"] for line in metrics(run.out)]
    assert (summary.first_loss, summary.last_loss) == (told[0], told[-1])
    assert summary.last_accuracy is None and summary.holdout_accuracy is None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    assert 0.5 * peak < metrics(run.out)[-1]["memory_mb"] <= summary.peak_memory_mb <= peak
    train(run.model_copy(update={"steps": 4}), resume=True)
    assert json.loads((run.folder / "perf.json").read_text())["pairs_per_second"] == 4 / (2 * 5 - 2)


def test_an_existing_run_is_not_overwritten(settings: Make) -> None:
    run = settings(steps=1)
    train(run)
    before = (Path(run.out) / UNET).read_bytes()
    with pytest.raises(UserError, match="finished run"):
        train(run)
    with pytest.raises(UserError, match="beta"):
        train(run.model_copy(update={"beta": 7.0}), resume=True)
    assert (Path(run.out) / UNET).read_bytes() == before


def test_a_run_that_breaks_the_model_is_stopped(settings: Make) -> None:
    run = settings(loss="uniform", steps=60, lr=3.0, warmup=0, beta=1e-3, checkpoint_every=1)
    with pytest.raises(UserError, match="Training stopped at step"):
        train(run)
    assert not (Path(run.out) / "model").exists()


def test_a_store_of_another_resolution_is_refused(settings: Make, sd_store: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    shutil.copytree(sd_store, store)
    write_sealed(
        store / "manifest.json", read_sealed(store / "manifest.json", "") | {"latent_shape": [4, 16, 16]}
    )
    with pytest.raises(UserError, match="shape"):
        train(settings(data=str(store)))


def test_a_store_of_another_model_is_refused(settings: Make, sdxl_store: Path) -> None:
    with pytest.raises(UserError, match="prepared for another model"):
        train(settings(data=str(sdxl_store)))


def test_overwrite_goes_on_with_the_same_run_and_replaces_another(settings: Make, tmp_path: Path) -> None:
    first = train(settings())
    (tmp_path / "run" / "notes.txt").write_text("mine")
    assert train(settings(), overwrite=True).first_loss is None  # nothing was left to do
    again = train(settings(beta=60.0), overwrite=True)
    assert again.first_loss == first.first_loss == pytest.approx(np.log(2))
    assert yaml.safe_load((tmp_path / "run" / "run.yaml").read_text())["beta"] == 60.0
    assert (tmp_path / "run" / "notes.txt").exists()


def test_a_run_is_not_resumed_on_other_pairs(settings: Make, sd_store: Path, tmp_path: Path) -> None:
    store = tmp_path / "pairs"
    shutil.copytree(sd_store, store)
    train(settings(data=str(store), steps=1))
    write_sealed(store / "manifest.json", read_sealed(store / "manifest.json", "") | {"source": "others"})
    with pytest.raises(UserError, match="pairs_sha256"):
        train(settings(data=str(store), steps=1), resume=True)
    with pytest.raises(UserError, match="other pairs"):
        train(settings(data=str(store), steps=1, pairs_sha256="0" * 64, out=str(tmp_path / "repeat")))
    assert train(settings(data=str(store), steps=1), overwrite=True).first_loss is not None


@pytest.mark.parametrize("text", ["", "steps: many\nloss: dde\n", "model: [\n", "stepps: 1\n"])
def test_a_damaged_run_is_not_gone_on_with(text: str, settings: Make) -> None:
    run = settings(steps=1)
    Path(run.out).mkdir()
    (Path(run.out) / "run.yaml").write_text(text)
    with pytest.raises(UserError, match=r"run\.yaml"):
        train(run, resume=True)
