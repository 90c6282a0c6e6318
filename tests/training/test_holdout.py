"""Evaluation on held-out pairs against a slow version; it changes nothing about the training."""

from __future__ import annotations

import json
import shutil
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator

from ddecli.core.errors import UserError
from ddecli.data.store import PairStore
from ddecli.models.base import DiffusionModel
from ddecli.models.load import load_model
from ddecli.training.holdout import HeldOut, better_than_base, worse_than_base
from ddecli.training.loop import train
from ddecli.training.precision import autocast
from ddecli.training.settings import TrainSettings

Make = Callable[..., TrainSettings]


def lines(run: TrainSettings, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run.folder / name).read_text().splitlines()]


def moved(folder: Path) -> DiffusionModel:
    """The model with other weights."""
    model = load_model(str(folder), "cpu", encoders=False)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in model.unet.parameters():
            value += 0.05 * torch.randn(value.shape, generator=generator)
    return model


@pytest.mark.two_threads
def test_one_pair_at_a_time_says_the_same(sd_folder: Path, sd_store: Path, settings: Make) -> None:
    policy, reference = moved(sd_folder), load_model(str(sd_folder), "cpu", encoders=False)
    store = PairStore.open(sd_store, policy.fingerprints)
    run = settings(holdout_pairs=10, micro_batch_size=5)
    held_out = HeldOut(store, run, 1000, Accelerator(cpu=True))
    found = held_out.evaluate(policy, reference, lambda: autocast(torch.device("cpu"), torch.float32))
    margins = []
    for number in range(10):
        batch = held_out.batches(range(number, number + 1))
        e = {}
        for name, model in (("policy", policy), ("reference", reference)):
            abar = model.schedule.alphas_cumprod[batch.t].float().view(-1, 1, 1, 1)
            noisy = abar.sqrt() * batch.latents + (1 - abar).sqrt() * batch.eps
            with torch.no_grad():
                predicted = model.predict(noisy, batch.t, batch.conditioning, batch.sizes)
            e[name] = (predicted - batch.eps).pow(2).mean((1, 2, 3))
        margins.append(float(e["policy"][0] - e["policy"][1] - e["reference"][0] + e["reference"][1]))
    assert found["holdout_margin"] == pytest.approx(sum(margins) / 10, rel=1e-3)
    assert found["holdout_accuracy"] == sum(margin < 0 for margin in margins) / 10
    error = statistics.stdev(margins) / 10**0.5
    assert found["holdout_margin_error"] == pytest.approx(error, rel=1e-3)
    assert found["holdout_pairs"] == 10


def test_the_reference_is_asked_once(
    sd_folder: Path, sd_store: Path, settings: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy, reference = moved(sd_folder), load_model(str(sd_folder), "cpu", encoders=False)
    store = PairStore.open(sd_store, policy.fingerprints)
    held_out = HeldOut(store, settings(holdout_pairs=10, micro_batch_size=5), 1000, Accelerator(cpu=True))

    def evaluate() -> dict[str, float]:
        return held_out.evaluate(policy, reference, lambda: autocast(torch.device("cpu"), torch.float32))

    first, asked = evaluate(), []
    predict = type(policy).predict

    def counted(model: DiffusionModel, *given: Any) -> torch.Tensor:
        asked.append(model.unet)
        return predict(model, *given)

    monkeypatch.setattr(type(policy), "predict", counted)
    assert evaluate() == first
    assert len(asked) == 2 and all(unet is policy.unet for unet in asked)


@pytest.mark.two_threads
def test_evaluation_changes_nothing_and_goes_on_with_the_run(
    settings: Make, sd_store: Path, tmp_path: Path
) -> None:
    plain = settings(out=str(tmp_path / "plain"))
    whole = settings(out=str(tmp_path / "whole"), holdout=str(sd_store), holdout_pairs=12, evaluate_every=3)
    train(plain)
    summary = train(whole)
    assert [line["loss"] for line in lines(whole, "metrics.jsonl")] == [
        line["loss"] for line in lines(plain, "metrics.jsonl")
    ]
    found = lines(whole, "holdout.jsonl")
    assert [line["step"] for line in found] == [2, 3]
    assert summary.holdout_accuracy == found[-1]["holdout_accuracy"]
    assert found[0]["holdout_margin"] != found[1]["holdout_margin"]

    again = settings(
        out=str(tmp_path / "again"), holdout=str(sd_store), holdout_pairs=12, evaluate_every=3, steps=2
    )
    train(again)
    train(again.model_copy(update={"steps": 4}), resume=True)
    assert lines(again, "holdout.jsonl")[1:] == found
    assert not (plain.folder / "holdout.jsonl").exists()


def test_pairs_of_another_model_are_refused(settings: Make, sdxl_store: Path, tmp_path: Path) -> None:
    shutil.copytree(sdxl_store, tmp_path / "other")
    with pytest.raises(UserError, match="other"):
        train(settings(holdout=str(tmp_path / "other")))


def evaluation(
    margin: float = 0.0, error: float = 1.0, accuracy: float = 0.5, pairs: int = 400
) -> dict[str, float]:
    names = ("margin", "margin_error", "accuracy", "pairs")
    return {
        f"holdout_{name}": value for name, value in zip(names, (margin, error, accuracy, pairs), strict=True)
    }


def test_a_model_is_worse_where_chance_does_not_explain_it() -> None:
    """By chance the accuracy of 400 pairs has the standard deviation sqrt(1/4 / 400) = 0.025."""
    for fine in ({}, {"accuracy": 0.451}, {"margin": 1.99}, {"accuracy": 0.9, "margin": -9.0}):
        assert worse_than_base(evaluation(**fine)) is None
    for bad in ({"accuracy": 0.449}, {"margin": 2.01}, {"accuracy": 0.451, "pairs": 500}):
        assert worse_than_base(evaluation(**bad)), bad
    assert worse_than_base(evaluation(margin=0.1, error=0.0, accuracy=0.0, pairs=7)) is None
    assert worse_than_base({}) is None
    said = worse_than_base(evaluation(0.0123, 0.001, 0.4))
    assert said == (
        "on 400 held-out pairs the model is worse than its base (accuracy 0.40, by chance 0.50 ± 0.05; margin 0.012 "
        "± 0.002, better below 0)"
    )


def test_a_model_is_better_by_as_much() -> None:
    """In both: a lower margin and a higher accuracy."""
    assert better_than_base(evaluation(margin=-2.01, accuracy=0.551))
    for not_told in (
        {}, {"margin": -2.01}, {"accuracy": 0.551}, {"margin": -1.99, "accuracy": 0.9},
        {"margin": -9.0, "accuracy": 0.549}, {"margin": -9.0, "accuracy": 1.0, "pairs": 7},
    ):  # fmt: skip
        assert not better_than_base(evaluation(**not_told)), not_told
    assert not better_than_base({})


def test_training_says_as_it_goes_that_held_out_pairs_find_the_model_worse(
    settings: Make, sd_store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first time: it is an alarm of the run."""
    bad = [evaluation(), evaluation(accuracy=0.4), evaluation(accuracy=0.3), evaluation(accuracy=0.2)]
    monkeypatch.setattr(HeldOut, "evaluate", lambda *given: bad.pop(0))
    summary = train(settings(steps=4, holdout=str(sd_store), evaluate_every=1))
    said = [line for line in capsys.readouterr().err.splitlines() if "worse than its base" in line]
    assert len(said) == 1
    assert said[0].startswith(
        "ALARM (held-out) after step 2: on 400 held-out pairs the model is worse than its base (accuracy 0.40"
    )
    assert said[0].endswith("train again with a lower --lr, fewer --steps or a larger --beta.")
    assert [(each.name, each.step) for each in summary.alarms] == [("held-out", 2)]
