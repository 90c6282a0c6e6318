"""Errors of the reference that are kept: the same run to the last bit, and never those of another."""

from __future__ import annotations

import json
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from ddecli.models.base import DiffusionModel
from ddecli.training import reference as kept
from ddecli.training.estimate import estimate
from ddecli.training.kept import kept_beside, say_kept
from ddecli.training.loop import train
from ddecli.training.reference import ReferenceErrors
from ddecli.training.run_folder import with_model, with_pairs
from ddecli.training.settings import TrainSettings
from ddecli.training.trainer import Trainer

Make = Callable[..., TrainSettings]
OF_TIME = ("pairs_per_second", "memory_mb")


@pytest.fixture
def make(settings: Make, sd_store: Path, tmp_path: Path) -> Make:
    """Runs on a pair store of their own, so that what they keep is theirs."""
    store = tmp_path / "pairs"
    shutil.copytree(sd_store, store)

    def found(name: str, **changed: Any) -> TrainSettings:
        given = {"data": str(store), "out": str(tmp_path / name), "reference": "keep"}
        return settings(**(given | changed))

    return found


def told(run: TrainSettings) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name not in OF_TIME} for line in lines]


def draws_of(run: TrainSettings) -> dict[str, int]:
    found: dict[str, int] = json.loads((run.folder / "perf.json").read_text())["reference_draws"]
    return found


def assert_same(run: TrainSettings, other: TrainSettings) -> None:
    assert told(run) == told(other)
    for first in sorted((run.folder / "model").rglob("*.safetensors")):
        name = str(first.relative_to(run.folder)).replace(
            f"{run.folder.name}-kohya", f"{other.folder.name}-kohya"
        )
        second = load_file(other.folder / name)
        assert all(torch.equal(value, second[name]) for name, value in load_file(first).items()), first


def files(run: TrainSettings) -> list[Path]:
    return sorted(kept_beside(Path(str(run.data))).glob("*/*.npy"))


@pytest.fixture
def no_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("a reference is made")

    monkeypatch.setattr(DiffusionModel, "reference", never)


@pytest.mark.two_threads
@pytest.mark.parametrize("changed", [{}, {"batch_size": 7, "micro_batch_size": 3}, {"segment": "0.3-0.6"}])
def test_a_run_that_reads_is_the_run_that_computes(
    make: Make, changed: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    alone, first, second = (make(name, **changed) for name in ("alone", "first", "second"))
    train(alone.model_copy(update={"reference": "compute"}))
    assert not files(alone)
    train(first)
    made = 4 * first.batch_size
    assert draws_of(alone) == draws_of(first) == {"read": 0, "computed": made}
    request.getfixturevalue("no_reference")
    train(second)
    assert draws_of(second) == {"read": made, "computed": 0}
    assert_same(first, alone)
    assert_same(second, alone)
    assert told(second)[0]["loss"] == pytest.approx(np.log(2), abs=1e-7) and told(second)[0]["logit_std"] == 0


def test_other_losses_betas_and_rates_read_them_too(make: Make, request: pytest.FixtureRequest) -> None:
    train(make("first"))
    request.getfixturevalue("no_reference")
    others = (
        {"loss": "uniform"},  # of a model that predicts noise the native error is that of the noise
        {"beta": 5.0},
        {"lr": 1e-4},
        {"loss": "dde-step", "ema_decay": 0.5},
        {"steps": 2},
        {"gamma": 0.5},
    )
    for number, changed in enumerate(others):
        run = make(f"other-{number}", **changed)
        train(run)
        assert draws_of(run)["computed"] == 0, changed


@pytest.mark.parametrize(
    "changed",
    [
        {"seed": 1},
        {"segment": "0-0.5"},
        {"prompt_dropout": 0.5},
        {"micro_batch_size": 4},
        {"batch_size": 4, "micro_batch_size": 4},
        {"loss": "discounted"},
        {"size_condition": "own"},
    ],
)
def test_what_draws_or_rounds_otherwise_reads_none(make: Make, changed: dict[str, Any]) -> None:
    train(make("first"))
    run = make("other", **changed)
    train(run)
    assert draws_of(run)["read"] == 0


def test_another_discount_reads_none(make: Make) -> None:
    train(make("first", loss="discounted"))
    run = make("second", loss="discounted", gamma=0.5)
    train(run)
    assert draws_of(run)["read"] == 0


def test_another_base_or_store_reads_none(make: Make, tmp_path: Path, sd_folder: Path) -> None:
    train(make("first"))
    model = tmp_path / "changed-model"
    shutil.copytree(sd_folder, model)
    weights = next((model / "unet").glob("*.safetensors"))
    values = load_file(weights)
    values["conv_out.bias"] = values["conv_out.bias"] + 1
    save_file(values, weights, {"format": "pt"})
    other = make("other-model", model=str(model))
    train(other)
    assert draws_of(other)["read"] == 0
    run = with_model(with_pairs(make("x")), False)
    changed = run.model_copy(update={"pairs_sha256": "0" * 64})
    model = Trainer(run).model
    keys = [kept.key_of(each, model, 8, torch.device("cpu"), torch.float32) for each in (run, changed)]
    assert run.pairs_sha256 and keys[0] != keys[1]


def test_another_schedule_or_prediction_with_the_same_weights_reads_none(
    make: Make, tmp_path: Path, sd_folder: Path
) -> None:
    train(make("first"))
    for name, value in (("prediction_type", "v_prediction"), ("beta_end", 0.013)):
        model = tmp_path / name
        shutil.copytree(sd_folder, model)
        config = model / "scheduler" / "scheduler_config.json"
        config.write_text(json.dumps(json.loads(config.read_text()) | {name: value}))
        run = make(f"other-{name}", model=str(model), error="noise")
        train(run)
        assert draws_of(run)["read"] == 0, name


def test_a_longer_run_computes_only_what_is_not_there(make: Make) -> None:
    train(make("first"))
    longer, alone = make("longer", steps=6), make("alone", steps=6, reference="compute")
    train(longer)
    assert draws_of(longer) == {"read": 32, "computed": 16}
    train(alone)
    assert_same(longer, alone)
    again = make("again", steps=6)
    train(again)
    assert draws_of(again) == {"read": 48, "computed": 0}


@pytest.mark.parametrize("harm", ["cut", "flip", "empty", "renamed"])
def test_a_damaged_file_is_computed_again(make: Make, harm: str, capsys: pytest.CaptureFixture[str]) -> None:
    first = make("first")
    train(first)
    (file, *_) = files(first)
    data = bytearray(file.read_bytes())
    if harm == "flip":
        data[-3] ^= 4
    file.write_bytes(b"" if harm == "empty" else data[:-8] if harm == "cut" else data)
    if harm == "renamed":
        file.rename(file.with_name(file.name.replace("-00000000", "-00000009")))
    second = make("second")
    train(second)
    assert "is damaged: what it held is computed again" in "".join(capsys.readouterr())
    assert draws_of(second)["computed"] == 16  # of the first checkpoint
    assert_same(second, first)


def test_where_nothing_can_be_kept_training_goes_on(
    make: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(kept, "atomic_file", full)
    run = make("run")
    train(run)
    assert "".join(capsys.readouterr()).count("are not kept for other runs: [Errno 28] No space left") == 1
    assert not files(run) and draws_of(run)["computed"] == 32


def test_read_leaves_nothing(make: Make) -> None:
    run = make("run", reference="read")
    train(run)
    assert not files(run)
    train(make("first"))
    again = make("again", reference="read")
    train(again)
    assert draws_of(again) == {"read": 32, "computed": 0}


def test_adapters_read_what_full_training_left(make: Make) -> None:
    train(make("first", prompt_dropout=0.0))
    lora, alone = (
        make(name, lora=2, prompt_dropout=0.0, reference=reference)
        for name, reference in (("lora", "keep"), ("alone", "compute"))
    )
    train(lora)
    assert draws_of(lora) == {"read": 32, "computed": 0}
    train(alone)
    assert_same(lora, alone)


def test_a_resumed_run_keeps_on_reading(make: Make) -> None:
    train(make("first"))
    train(make("run", steps=2))
    train(make("run"), resume=True)
    assert draws_of(make("run")) == {"read": 16, "computed": 0}
    assert_same(make("run"), make("first"))


def test_what_does_not_need_a_reference_makes_none(make: Make, no_reference: None) -> None:
    run = make("sft", loss="sft")
    train(run)
    assert draws_of(run) == {"read": 0, "computed": 0} and not files(run)


def test_gradients_of_single_pairs_and_held_out_pairs_still_have_one(make: Make) -> None:
    train(make("first"))
    for name, changed in (("credit", {"credit_gradients": 2}), ("holdout", {"holdout": make("x").data})):
        run = with_model(with_pairs(make(name, **changed)), False)
        trainer = Trainer(run)
        assert trainer.kept is not None and trainer.kept.is_whole and trainer.reference is not None
    assert Trainer(with_model(with_pairs(make("none")), False)).reference is None


def test_two_runs_at_once_leave_whole_files(tmp_path: Path) -> None:
    one, two = (ReferenceErrors(tmp_path, range(8)) for _ in range(2))
    errors = torch.arange(16.0).view(8, 2)
    one.add(0, errors[:4])
    two.add(0, errors[:8])
    one.keep()
    two.keep()
    one.add(4, errors[4:])
    one.keep()
    found = ReferenceErrors(tmp_path, range(2, 8))
    assert found.is_whole and torch.equal(found(range(3, 6)), errors[3:6].T)
    assert not ReferenceErrors(tmp_path, range(9)).is_whole
    assert ReferenceErrors(tmp_path, range(9))(range(7, 9)) is None
    assert all(stat.S_IMODE(file.stat().st_mode) & 0o400 for file in tmp_path.iterdir())


def test_what_looks_at_predictions_reads_no_errors(make: Make) -> None:
    """Kept errors say nothing of the distance between two predictions."""
    train(make("first", loss="uniform"))
    run, alone = (make(name, loss="dspo", beta=0.5, reference=name) for name in ("keep", "compute"))
    for each in (run, alone):
        train(each)
    assert draws_of(run)["read"] == 0
    assert_same(run, alone)


def test_what_is_kept_is_said_before_training(make: Make) -> None:
    """In a dry run, which sees names of files, and in the estimate, which compares all that errors depend on."""
    first, store = make("first"), Path(str(make("first").data))
    made = first.steps * first.batch_size
    before = estimate(first)
    assert (before.draws_read, before.draws_computed) == (0, made)
    assert say_kept(first, store) is None
    train(first)
    again, longer = make("again", beta=3.0), make("longer", steps=6)
    said = f"The reference's errors on all {made} draws are kept in {kept_beside(store)} and will be read: "
    assert say_kept(again, store) == said + "no reference is loaded."
    assert estimate(again).advice[-1] == said + "no reference is loaded."
    held_out = again.model_copy(update={"holdout": str(store)})
    assert say_kept(held_out, store) == said + "for held-out pairs and gradients alone a reference is loaded."
    assert f" {made} are kept in " in str(say_kept(longer, store))
    assert str(say_kept(longer, store)).endswith(" and will be read, 16 will be computed.")
    found = estimate(longer)
    assert (found.draws_read, found.draws_computed) == (made, 16)
    assert found.hours < longer.steps * found.seconds_per_step / 3600
    for changed in ({"seed": 5}, {"micro_batch_size": 2}, {"segment": "0.3-0.6"}):
        assert say_kept(make("other", **changed), store) is None, changed
        assert estimate(make("other", **changed)).draws_read == 0, changed
    assert say_kept(make("alone", reference="compute"), store) is None
    assert say_kept(make("winners", loss="sft"), store) is None
    (kept_beside(store) / "other").mkdir()
    (kept_beside(store) / "other" / "key.json").write_text("[]")
    assert say_kept(again, store) == said + "no reference is loaded."
