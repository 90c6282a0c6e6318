"""The estimate on a clock of the test's own, and what it advises."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from ddecli.data.store import PairStore
from ddecli.models.load import load_model
from ddecli.training import estimate as module
from ddecli.training.random_pairs import RandomPairs
from ddecli.training.settings import TrainSettings

Make = Callable[..., TrainSettings]
GIB = 2**30


class SlowTrainer:
    """Takes the place of a trainer: the first step takes 100 s, others 8 s; a batch 0.5 s."""

    clock = 0.0

    def __init__(self, settings: TrainSettings, **_: Any) -> None:
        self.settings, self.steps_done = settings, 0
        self.accelerator = SimpleNamespace(device=torch.device("cpu"), num_processes=1)
        self.objective = SimpleNamespace(needs_reference=settings.loss != "sft")
        self.dtype = torch.float32
        self.reference = SimpleNamespace(as_reference=self.nothing)

    @contextmanager
    def nothing(self) -> Iterator[None]:
        yield

    def kept_errors(self, settings: TrainSettings) -> Any:
        return SimpleNamespace(there=90) if settings.reference == "keep" else None

    def autocast(self) -> None:
        return None

    def step(self, step: int, brake: object) -> None:
        assert step == self.steps_done
        self.steps_done += 1
        SlowTrainer.clock += 100 if step == 0 else 8

    def micro_batches(self, step: int) -> list[range]:
        return [range(4), range(4, 8)]

    def batches(self, draws: range) -> None:
        SlowTrainer.clock += 0.5


@pytest.mark.parametrize(
    ("loss", "batch_size", "measured"), [("dde", 64, 32), ("dde", 20, 20), ("sft", 64, 32)]
)
def test_seconds_are_those_of_a_step_without_the_first(
    settings: Make, monkeypatch: pytest.MonkeyPatch, loss: str, batch_size: int, measured: int
) -> None:
    def reference(*_: Any) -> None:
        SlowTrainer.clock += 1

    monkeypatch.setattr(module, "Trainer", SlowTrainer)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: SlowTrainer.clock))
    monkeypatch.setattr(module, "errors_by_row", reference)
    run = settings(loss=loss, steps=450, batch_size=batch_size, micro_batch_size=4)
    found = module.estimate(run, price_per_hour=3.5)
    assert found.steps == 450
    assert found.seconds_per_step == pytest.approx(8 * batch_size / measured)
    assert found.hours == pytest.approx(450 * 8 * batch_size / measured / 3600)
    assert found.pairs_per_second == pytest.approx(measured / 8)
    assert found.data_share == pytest.approx(2 * 0.5 / 8)
    assert found.reference_share == pytest.approx(0 if loss == "sft" else 2 * 1 / 8)
    assert found.peak_memory_mb > 0
    assert found.cost == pytest.approx(3.5 * found.hours) and module.estimate(run).cost is None


def test_draws_that_are_kept_take_no_pass_of_the_reference(
    settings: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reference(*_: Any) -> None:
        SlowTrainer.clock += 1

    monkeypatch.setattr(module, "Trainer", SlowTrainer)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: SlowTrainer.clock))
    monkeypatch.setattr(module, "errors_by_row", reference)
    found = module.estimate(settings(steps=10, batch_size=20, micro_batch_size=4, reference="keep"))
    assert (found.draws_read, found.draws_computed) == (90, 110)
    assert found.hours == pytest.approx((10 * 8 - 90 * 2 / 20) / 3600)


def advice(settings: TrainSettings, device: str, data_share: float = 0.0, dtype: Any = torch.bfloat16) -> str:
    trainer = SlowTrainer(settings)
    trainer.accelerator.device, trainer.dtype = torch.device(device), dtype
    return " ".join(module._advice(settings, trainer, data_share))  # type: ignore[arg-type]


def test_advice_on_a_gpu_follows_its_memory(settings: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    run = settings(batch_size=8, micro_batch_size=3, lora=4)
    for free, told in ((45, True), (40, False)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda free=free: (free * GIB, 80 * GIB))
        said = advice(run, "cuda")
        assert ("45 GiB of GPU memory are free: --micro-batch-size 6 would" in said) == told
        assert said == "" or told
    assert advice(settings(batch_size=8, micro_batch_size=8, lora=4), "cuda") == ""
    assert "bfloat16" in advice(run, "cuda", dtype=torch.float32)


def test_advice_on_a_processor(settings: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    lora = settings(lora=4)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert advice(lora, "cpu", 0.2) == ""
    assert "local disk" in advice(lora, "cpu", 0.21)
    assert "--lora" in advice(settings(), "cpu") and advice(settings(loss="sft"), "cpu") == ""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert advice(lora, "cpu") == "There is a GPU: --device cuda."


@pytest.mark.parametrize("family", ["sd", "sdxl"])
def test_a_store_of_noise_has_the_shapes_of_a_real_one(family: str, request: pytest.FixtureRequest) -> None:
    model = load_model(str(request.getfixturevalue(f"{family}_folder")), encoders=False)
    real = PairStore.open(request.getfixturevalue(f"{family}_store"), model.fingerprints)
    noise, some = RandomPairs(model), torch.tensor([0, 3])
    assert noise.latent_shape == real.latent_shape
    assert noise.latents(some).shape == real.latents(some).shape
    assert torch.equal(noise.target_sizes(2), real.target_sizes(2)) and noise.sizes(some).shape == (2, 6)
    given = [{name: value.shape for name, value in each.conditioning(some).items()} for each in (noise, real)]
    assert given[0] == given[1]


@pytest.mark.parametrize("changed", [{}, {"loss": "uniform", "labels": "soft"}, {"noise": "kept"}])
def test_the_price_is_known_before_there_are_data(settings: Make, changed: dict[str, Any]) -> None:
    run = settings(steps=100, reference="keep", **changed).model_copy(update={"data": None})
    found = module.estimate(run)
    assert found.hours > 0 and (found.draws_read, found.draws_computed) == (0, 800)
    assert not run.folder.exists()
