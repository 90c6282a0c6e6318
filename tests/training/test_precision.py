"""Which precision a run is computed in, float16's gradient scale in checkpoints, and launches in shards."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch

from ddecli.core.errors import UserError
from ddecli.training import precision, sharding
from ddecli.training.optimizers import build_optimizer
from ddecli.training.precision import load_scaler_state, scaler_state, start_processes, training_dtype
from ddecli.training.settings import TrainSettings
from ddecli.training.sharding import gathered, is_sharded_launch, optimizer_shards

Make = Callable[..., TrainSettings]


@pytest.fixture
def sharded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    monkeypatch.setenv("WORLD_SIZE", "2")


def on_gpu(monkeypatch: pytest.MonkeyPatch, bfloat16: bool) -> None:
    monkeypatch.setattr(precision, "choose_device", lambda name: torch.device("cuda"))
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation: bfloat16 or including_emulation
    )


@pytest.mark.parametrize(("bfloat16", "expected"), [(True, torch.bfloat16), (False, torch.float32)])
def test_auto_is_bfloat16_on_a_gpu_that_has_it(
    settings: Make, monkeypatch: pytest.MonkeyPatch, bfloat16: bool, expected: torch.dtype
) -> None:
    on_gpu(monkeypatch, bfloat16)
    assert training_dtype(settings()) == expected
    assert training_dtype(settings(precision="float16")) == torch.float16


def test_a_processor_trains_in_float32_or_bfloat16(settings: Make) -> None:
    assert training_dtype(settings()) == torch.float32
    assert training_dtype(settings(precision="bfloat16")) == torch.bfloat16
    with pytest.raises(UserError, match="on GPUs only"):
        training_dtype(settings(precision="float16"))
    with pytest.raises(UserError, match="adamw8bit needs a GPU"):
        build_optimizer(settings(optimizer="adamw8bit"), [], torch.device("cpu"))


@pytest.mark.usefixtures("sharded")
def test_shards_take_neither_float16_nor_other_optimizers(
    settings: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_gpu(monkeypatch, True)
    with pytest.raises(UserError, match="sharded"):
        training_dtype(settings(precision="float16"))
    with pytest.raises(UserError, match="adafactor cannot go with a sharded"):
        build_optimizer(settings(optimizer="adafactor"), [], torch.device("cpu"))


@pytest.mark.parametrize(
    ("asked", "processes", "expected"),
    [
        ("true", "2", True),
        ("TRUE", "8", True),
        ("true", "1", False),
        ("false", "2", False),
        (None, "2", False),
    ],
)
def test_a_sharded_launch(
    monkeypatch: pytest.MonkeyPatch, asked: str | None, processes: str, expected: bool
) -> None:
    monkeypatch.setenv("WORLD_SIZE", processes)
    monkeypatch.delenv("ACCELERATE_USE_FSDP", raising=False)
    if asked:
        monkeypatch.setenv("ACCELERATE_USE_FSDP", asked)
    assert is_sharded_launch() is expected
    monkeypatch.delenv("WORLD_SIZE")
    assert is_sharded_launch() is False


def test_a_batch_is_shared_evenly(settings: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "Accelerator", lambda **given: SimpleNamespace(num_processes=3, **given))
    with pytest.raises(UserError, match="--batch-size 8 cannot be shared by 3"):
        start_processes(settings(batch_size=8), torch.float32)
    for dtype, mixed in ((torch.float32, "no"), (torch.bfloat16, "no"), (torch.float16, "fp16")):
        made = start_processes(settings(batch_size=9), dtype)
        assert vars(made) == {"num_processes": 3, "cpu": True, "mixed_precision": mixed}


def test_the_gradient_scale_goes_on_from_a_checkpoint() -> None:
    first, second = (
        SimpleNamespace(scaler=torch.amp.GradScaler("cpu", init_scale=scale)) for scale in (8.0, 2.0)
    )
    first.scaler.load_state_dict(first.scaler.state_dict() | {"_growth_tracker": 5})
    load_scaler_state(second, scaler_state(first))
    assert second.scaler.state_dict() == first.scaler.state_dict()
    assert type(second.scaler.state_dict()["_growth_tracker"]) is int
    assert second.scaler.get_scale() == 8.0
    none = SimpleNamespace(scaler=None)
    assert scaler_state(none) == {}
    load_scaler_state(none, scaler_state(first))
    load_scaler_state(second, {})
    assert second.scaler.get_scale() == 8.0


def test_whole_tensors_stay_as_they_are_when_gathered() -> None:
    state = {"a": [torch.ones(2), {"b": 3}]}
    assert gathered(state, keep=False) == state
    assert gathered(state, keep=True)["a"][0] is state["a"][0]


def test_optimizer_state_is_laid_out_as_its_parameter() -> None:
    parameter = torch.zeros(2, 3, 4, 4).to(memory_format=torch.channels_last)
    moment, step = torch.arange(96.0).view(2, 3, 4, 4), torch.tensor(7.0)
    state = {"state": {0: {"exp_avg": moment, "step": step}}, "param_groups": [{"lr": 1.0}]}
    found = optimizer_shards(state, [parameter])
    assert torch.equal(found["state"][0]["exp_avg"], moment)
    assert found["state"][0]["exp_avg"].stride() == parameter.stride() != moment.stride()
    assert found["state"][0]["step"] is step and found["param_groups"] == state["param_groups"]


class ResnetBlock2D(torch.nn.Linear):
    """Called as a block of a U-Net that is gathered on its own."""


def test_blocks_are_sharded_one_by_one_and_then_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = [ResnetBlock2D(1, 1), ResnetBlock2D(1, 1)]
    unet = torch.nn.Sequential(blocks[0], torch.nn.Linear(1, 1), blocks[1])
    plugin = SimpleNamespace(fsdp_version=2, cpu_offload=None, reshard_after_forward="when it says")
    accelerator = SimpleNamespace(device=torch.device("cpu"), num_processes=3)
    done: list[tuple[object, ...]] = []
    monkeypatch.setattr(sharding, "FullyShardedDataParallelPlugin", lambda: plugin)
    monkeypatch.setattr(sharding, "init_device_mesh", lambda *given: given)
    monkeypatch.setattr(sharding, "fully_shard", lambda module, **how: done.append((module, how)))
    sharding.shard(unet, accelerator)
    mesh = ("cpu", (3,))
    each = {"mesh": mesh, "reshard_after_forward": "when it says"}
    assert done == [(blocks[0], each), (blocks[1], each), (unet, {"mesh": mesh})]
    for wrong in ({"fsdp_version": 1}, {"cpu_offload": sharding.CPUOffloadPolicy()}):
        monkeypatch.setattr(
            sharding, "FullyShardedDataParallelPlugin", lambda w=wrong: SimpleNamespace(**vars(plugin) | w)
        )
        with pytest.raises(UserError, match="fsdp_version: 2"):
            sharding.shard(unet, accelerator)
