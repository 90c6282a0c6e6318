"""The world's training loop against a slow version of it, and a stopped one that goes on."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from ddecli.tinyworld import fit as module
from ddecli.tinyworld.fit import fit


def network() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(3, 2)


def loss(network: nn.Module, step: int) -> Tensor:
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(step))
    return 3 * (network(x) - 1).square().mean()


def slow_fit(steps: int, rate: float, ema_decay: float, weight_decay: float) -> dict[str, Tensor]:
    """AdamW; rate and first momentum by one cosine up in a tenth of the steps and one down; gradients of norm 1."""

    def between(start: float, end: float, share: float) -> float:
        return end + (start - end) / 2 * (1 + math.cos(math.pi * share))

    made, top = network(), 0.1 * (steps + 1) - 1
    optimizer = torch.optim.AdamW(made.parameters(), lr=rate, weight_decay=weight_decay)
    average: dict[str, Tensor] = {}
    for step in range(steps):
        up, down = step / top, (step - top) / (steps - top)
        lr = between(rate / 25, rate, up) if step <= top else between(rate, rate / 25 / 1e4, down)
        momentum = between(0.95, 0.85, up) if step <= top else between(0.85, 0.95, down)
        optimizer.param_groups[0] |= {"lr": lr, "betas": (momentum, 0.999)}
        optimizer.zero_grad()
        loss(made, step).backward()
        norm = torch.cat([value.grad.flatten() for value in made.parameters()]).norm()
        for value in made.parameters():
            value.grad *= min(1.0, 1 / (norm + 1e-6))
        optimizer.step()
        for name, value in made.state_dict().items():
            before = average.get(name)
            moved = value if before is None else ema_decay * before + (1 - ema_decay) * value
            average[name] = moved.clone()
    return average


@pytest.mark.parametrize(("ema_decay", "weight_decay"), [(0.8, 0.3), (0.0, 0.01)])
def test_against_a_slow_version(tmp_path: Path, ema_decay: float, weight_decay: float) -> None:
    made = network()
    how = {"steps": 30, "learning_rate": 0.1, "folder": tmp_path}
    fit("x", made, lambda step: loss(made, step), **how, ema_decay=ema_decay, weight_decay=weight_decay)
    assert not made.training
    for name, value in slow_fit(30, 0.1, ema_decay, weight_decay).items():
        torch.testing.assert_close(made.state_dict()[name], value, rtol=1e-4, atol=1e-5)


def test_a_stopped_fit_goes_on_to_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, stopped = network(), network()
    how = {"steps": 12, "learning_rate": 0.1, "ema_decay": 0.5}
    fit("x", whole, lambda step: loss(whole, step), **how, folder=tmp_path / "whole")
    monkeypatch.setattr(module, "CHECKPOINT_EVERY", 4)
    seen: list[int] = []

    def until(last: int) -> None:
        def loss_of_step(step: int) -> Tensor:
            if step > last:
                raise KeyboardInterrupt
            seen.append(step)
            return loss(stopped, step)

        fit("x", stopped, loss_of_step, **how, folder=tmp_path / "stopped")

    with pytest.raises(KeyboardInterrupt):
        until(9)
    with torch.no_grad():
        stopped.weight.zero_()  # what goes on is what was kept
    until(11)
    assert seen == [*range(10), *range(8, 12)]
    until(-1)  # nothing is left to do
    for name, value in whole.state_dict().items():
        assert torch.equal(stopped.state_dict()[name], value)
