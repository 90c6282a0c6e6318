"""`--micro-batch-size auto` in a memory of the test's own: what it comes to, and that trying changes nothing."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file
from small_memory import less_from, small_memory

from ddecli.core.errors import UserError
from ddecli.training import micro_batch
from ddecli.training.loop import train
from ddecli.training.micro_batch import sizes
from ddecli.training.run_folder import with_model, with_pairs
from ddecli.training.settings import TrainSettings, read_settings
from ddecli.training.trainer import Trainer

Make = Callable[..., TrainSettings]
WEIGHTS = "model/unet/diffusion_pytorch_model.safetensors"
LORA = "model/pytorch_lora_weights.safetensors"
ROUNDING = 3e-4
GIB = 2**30


def metrics(run: TrainSettings) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in ("pairs_per_second", "memory_mb")} for line in lines]


def chosen(run: TrainSettings) -> object:
    return yaml.safe_load((run.folder / "run.yaml").read_text())["micro_batch_size"]


def test_sizes_double_and_divide_the_share() -> None:
    assert sizes(2048, 64) == [1, 2, 4, 8, 16, 32, 64]
    assert sizes(24, 64) == [1, 2, 4, 8, 24]
    assert sizes(15, 64) == [1, 3, 15] and sizes(15, 8) == [1, 3]
    assert sizes(7, 64) == [1, 7] and sizes(7, 6) == sizes(1, 64) == [1]
    for share in range(1, 200):
        found = sizes(share, 64)
        assert all(share % size == 0 for size in found)
        assert all(two >= 2 * one for one, two in itertools.pairwise(found))


@pytest.mark.parametrize(("pairs", "size"), [(1, 1), (3, 2), (4, 4), (100, 8)])
def test_the_largest_that_fits_is_taken(
    settings: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], pairs: int, size: int
) -> None:
    run = settings(micro_batch_size="auto", batch_size=16, steps=1)
    with monkeypatch.context() as patch:
        seen = small_memory(patch.setattr, pairs)
        train(run)
    assert chosen(run) == size and read_settings(run.folder / "run.yaml").micro_batch == size
    tried = 2 * [one for one in (1, 2, 4, 8) if one <= pairs]  # reference and policy
    made = 2 * (16 // size) * [size]
    assert sorted(seen) == sorted([*tried, *([2 * size] if size < 8 else []), *made])
    assert f"micro-batch size {size}: the largest that fits" in " ".join(capsys.readouterr().err.split())


@pytest.mark.two_threads
@pytest.mark.parametrize(
    "given",
    [
        {},
        {"loss": "sft"},
        {"lora": 2},
        {"optimizer": "adafactor"},
        {"loss": "kto", "weight_ema": 0.9},
        {"loss": "linear-dpo"},
        {"loss": "uniform", "beta": "auto"},
        {"credit_gradients": 3, "gradient_checkpointing": True},
    ],
    ids=["full", "sft", "lora", "adafactor", "kto", "linear-dpo", "beta", "gradients"],
)
def test_trying_changes_nothing(
    settings: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given: dict[str, Any]
) -> None:
    """To the last bit, and whatever a trial that failed left."""
    auto = settings(**given, micro_batch_size="auto", out=str(tmp_path / "auto"), steps=3)
    size = 8 if given.get("loss") == "sft" else 4  # of the winners alone twice as many fit
    known = settings(**given, micro_batch_size=size, out=str(tmp_path / "known"), steps=3)
    torch.manual_seed(1)
    with monkeypatch.context() as patch:
        small_memory(patch.setattr, 4)
        train(auto)
    after = torch.get_rng_state()
    torch.manual_seed(1)
    train(known)
    assert chosen(auto) == size and metrics(auto) == metrics(known)
    assert torch.equal(after, torch.get_rng_state())
    file = LORA if "lora" in given else WEIGHTS
    assert (auto.folder / file).read_bytes() == (known.folder / file).read_bytes()


def test_the_optimizer_is_as_new_and_its_state_is_there_in_a_trial(
    settings: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, forward = [], micro_batch._pass

    def look(trainer: Trainer, size: int) -> None:
        state = trainer.optimizer.state
        seen.append(sum(value.numel() for one in state.values() for value in one.values()))
        forward(trainer, size)

    monkeypatch.setattr(micro_batch, "_pass", look)
    trainer = Trainer(settings(micro_batch_size="auto"))
    numbers = sum(parameter.numel() for parameter in trainer.parameters.values())
    assert seen == [2 * numbers + len(trainer.parameters)] * 4  # two moments and a count
    assert not trainer.optimizer.state and all(each.grad is None for each in trainer.parameters.values())


def test_not_one_pair_fits(settings: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    small_memory(monkeypatch.setattr, 0)
    run = settings(micro_batch_size="auto")
    with pytest.raises(
        UserError, match=r"^A pair does not fit the memory of cpu .*GiB.*--lora 16.* take less, or"
    ):
        train(run)
    assert not any(run.folder.iterdir())


def test_resuming_takes_the_number_of_before(settings: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        small_memory(patch.setattr, 2)
        train(settings(micro_batch_size="auto", steps=2))
    monkeypatch.delattr(micro_batch, "_pass")  # it is not tried again
    longer = settings(micro_batch_size="auto")
    train(longer, resume=True)
    assert chosen(longer) == 2 and len(metrics(longer)) == 4
    train(settings(micro_batch_size=8, steps=5), resume=True)
    assert chosen(longer) == 8


def test_runs_of_a_table_agree_and_the_later_one_holds_no_reference(
    settings: Make, sd_folder: Path, sd_store: Path, tmp_path: Path
) -> None:
    store = tmp_path / "pairs"
    store.mkdir()
    for file in sd_store.iterdir():
        (store / file.name).symlink_to(file)
    given = {"micro_batch_size": "auto", "reference": "keep", "data": str(store)}
    first, second = (settings(loss=loss, out=str(tmp_path / loss), **given) for loss in ("dde", "uniform"))
    train(first)
    trainer = Trainer(with_model(with_pairs(second), resume=False))
    assert trainer.base is trainer.reference is None
    train(second)
    draws = json.loads((second.folder / "perf.json").read_text())["reference_draws"]
    assert draws == {"read": 32, "computed": 0} and chosen(first) == chosen(second) == 8
    alone = settings(loss="uniform", out=str(tmp_path / "alone"), micro_batch_size=8)
    train(alone)
    assert (alone.folder / WEIGHTS).read_bytes() == (second.folder / WEIGHTS).read_bytes()


@pytest.mark.parametrize("at", [0, 3])
def test_a_step_that_no_longer_fits_leaves_a_checkpoint(
    settings: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, at: int
) -> None:
    run = settings(micro_batch_size="auto", checkpoint_every=50, out=str(tmp_path / "run"))
    whole = settings(micro_batch_size=8, out=str(tmp_path / "whole"))
    train(whole)
    with monkeypatch.context() as patch:
        less_from(patch.setattr, at, 5)
        with pytest.raises(
            UserError, match=rf"^Step {at + 1} does not fit .* --resume --micro-batch-size 4\.$"
        ):
            train(run)
    names = [path.name for path in run.folder.glob("checkpoints/*")]
    assert names == ([f"step-{at:06d}"] if at else [])
    went_on = run.model_copy(update={"micro_batch_size": 4})
    train(went_on, resume=True)
    assert chosen(run) == 4 and len(metrics(run)) == 4
    assert metrics(run)[:at] == metrics(whole)[:at]
    for one, two in zip(metrics(run), metrics(whole), strict=True):
        assert one["loss"] == pytest.approx(two["loss"], rel=ROUNDING)
    left, right = (load_file(each.folder / WEIGHTS) for each in (run, whole))
    for name, value in left.items():
        torch.testing.assert_close(value, right[name], rtol=0, atol=3e-3)  # AdamW at a rate of 1e-3


def test_half_an_update_is_not_kept(settings: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where memory ends within the optimizer some weights are new and some old."""
    run = settings(micro_batch_size=1, checkpoint_every=2)
    observed = Trainer.learning_rate

    def rate(self: Trainer, step: int) -> float:
        if step == 3:
            monkeypatch.setattr(self.optimizer, "step", lambda: (_ for _ in ()).throw(torch.OutOfMemoryError))
        return observed(self, step)

    monkeypatch.setattr(Trainer, "learning_rate", rate)
    with pytest.raises(
        UserError, match=r"^Step 4 does not fit .*--micro-batch-size 1: --gradient-check.*--resume"
    ):
        train(run)
    assert [path.name for path in run.folder.glob("checkpoints/*")] == ["step-000002"]


def test_an_estimate_tries_first(settings: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    from ddecli.training.estimate import estimate

    small_memory(monkeypatch.setattr, 2)
    found = estimate(settings(micro_batch_size="auto", batch_size=64))
    assert found.micro_batch_size == 2 and found.draws_computed == 4 * 64
    assert estimate(settings(micro_batch_size=1)).micro_batch_size == 1


class Lent:
    """As much of a trainer as a trial looks at."""

    def __init__(self, share: int) -> None:
        device = torch.device("cpu")
        self.share, self.is_sharded, self.is_main = share, False, False
        self.accelerator: Any = SimpleNamespace(device=device, gather=lambda found: found)
        self.parameters: dict[str, Any] = {}
        self.optimizer = torch.optim.AdamW([torch.zeros(1, requires_grad=True)])


def test_where_trying_is_no_use_one_pair_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """With shards, and on a device whose memory is not known."""
    sharded, other = Lent(8), Lent(8)
    sharded.is_sharded = True
    other.accelerator.device = torch.device("xpu")
    monkeypatch.delattr(micro_batch, "_pass")
    for trainer in (sharded, other):
        assert micro_batch.measured_micro_batch_size(trainer) == 1  # type: ignore[arg-type]


def test_the_smallest_of_all_processes_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """This one has room for all; another one only for so many."""
    tried: list[int] = []
    trainer = Lent(64)
    trainer.accelerator.gather = lambda found: torch.cat([found, torch.tensor([tried[-1] <= 4])])
    monkeypatch.setattr(micro_batch, "_pass", lambda trainer, size: tried.append(size))
    assert micro_batch.measured_micro_batch_size(trainer) == 4  # type: ignore[arg-type]
    assert tried == [1, 2, 4, 8]


@pytest.mark.parametrize(("available", "size"), [(20, 2), (45, 4), (46, 8), (1000, 8)])
def test_on_a_processor_nothing_is_tried_that_might_not_fit(
    monkeypatch: pytest.MonkeyPatch, available: int, size: int
) -> None:
    """10 GiB are held, a pair takes 5 and at most nine tenths are taken; at the end another size would be tried."""
    most, tried = 10 * GIB, []

    def run(trainer: object, size: int) -> None:
        nonlocal most
        tried.append(size)
        most = (10 + 5 * size) * GIB
        assert most <= 0.9 * (10 + available) * GIB

    monkeypatch.setattr(micro_batch, "_pass", run)
    monkeypatch.setattr(micro_batch, "_status", lambda name: 10 * GIB if name == "VmRSS" else most)
    monkeypatch.setattr(micro_batch, "_available", lambda: available * GIB)
    assert micro_batch.measured_micro_batch_size(Lent(64)) == size  # type: ignore[arg-type]
    assert tried == [one for one in (1, 2, 4, 8) if one <= size]


def test_what_a_processor_says_of_its_memory() -> None:
    device = torch.device("cpu")
    memory = micro_batch._MainMemory(device)
    memory.begin()
    held = memory._held
    block = torch.ones(2**26, dtype=torch.uint8)
    del block
    assert 2**26 * 0.9 < memory.taken(1) - held < 2**26 * 2
    memory.release()
    assert memory.taken(1) - held < 2**25 and memory.room > held


def test_on_a_gpu_a_tenth_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = 0
    held = {"mem_get_info": (60 * GIB, 80 * GIB), "memory_reserved": 10 * GIB}
    for name, value in held.items():
        monkeypatch.setattr(torch.cuda, name, lambda device, value=value: value)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: taken)
    for name in ("empty_cache", "reset_peak_memory_stats"):
        monkeypatch.setattr(torch.cuda, name, lambda *device: None)
    memory = micro_batch._Memory(torch.device("cuda"))
    memory.begin()
    assert memory.room == 70 * GIB and memory.may_try(64)

    def run(trainer: object, size: int) -> None:
        nonlocal taken
        taken = (7 + 7 * size) * GIB

    monkeypatch.setattr(micro_batch, "_pass", run)
    monkeypatch.setattr(micro_batch, "_MEMORIES", {"cpu": lambda device: memory})
    assert micro_batch.measured_micro_batch_size(Lent(64)) == 8  # type: ignore[arg-type]
