"""Losses by name: which objective, which timesteps, and what is refused."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from ddecli.core.errors import UserError
from ddecli.diffusion.schedule import NoiseSchedule
from ddecli.diffusion.timesteps import TimestepSampler
from ddecli.objectives.presets import LOSSES, build_objective, build_sampler

SCHEDULE = NoiseSchedule(torch.tensor([0.9, 0.5, 0.1]))


def test_every_loss_can_be_built() -> None:
    assert list(LOSSES) == ["sft", "uniform", "discounted", "dde", "dde-single", "dde-step"]
    for name in LOSSES:
        objective = build_objective(name, SCHEDULE, 5000)
        assert (objective.table is not None) == (name in ("dde", "dde-step"))
        assert objective.winners_only == (name == "sft")
        probabilities = build_sampler(name, 1000).probabilities
        assert (float(probabilities[999] / probabilities[0]) > 100) == (name == "discounted")


def test_discounted_is_uniform_with_other_timesteps() -> None:
    assert LOSSES["discounted"].objective == LOSSES["uniform"].objective == "uniform"
    inside = build_sampler("discounted", 1000, "0.3-0.4", gamma=0.5, K=10)
    assert inside.probabilities.nonzero().flatten().tolist() == list(range(300, 400))
    published = TimestepSampler.discounted(1000, 0.9, 50).probabilities
    assert torch.equal(build_sampler("discounted", 1000).probabilities, published)
    ten_steps = build_sampler("discounted", 1000, gamma=0.5, K=10).probabilities
    assert float(ten_steps[999] / ten_steps[899]) == 2


def test_segments_reach_the_uniform_sampler() -> None:
    inside = build_sampler("dde", 1000, "0.3-0.4").probabilities
    assert inside.nonzero().flatten().tolist() == list(range(300, 400))
    with pytest.raises(UserError, match=r"'0\.4-0\.3'"):
        build_sampler("dde", 1000, "0.4-0.3")


def test_settings_reach_the_table() -> None:
    table = build_objective("dde", SCHEDULE, 5000, ema_decay=0.5, correction_bins=2).table
    assert table is not None
    assert table.ema_decay == 0.5
    assert table.state_dict()["means"].shape == (4, 2)


def test_what_cannot_work_is_refused() -> None:
    choices = "sft, uniform, discounted, dde, dde-single, dde-step"
    with pytest.raises(UserError, match=f"'ddo'; choose one of {choices}"):
        build_objective("ddo", SCHEDULE, 5000)
    with pytest.raises(UserError, match=f"'ddo'; choose one of {choices}"):
        build_sampler("ddo", 1000)
    for beta in (0, -1, float("nan"), float("inf")):
        with pytest.raises(UserError, match="beta"):
            build_objective("uniform", SCHEDULE, beta)


@pytest.mark.parametrize("last", [0.0, 2.0**-24])
def test_zero_terminal_snr_has_no_single_shot_estimate(last: float) -> None:
    schedule = NoiseSchedule(torch.tensor([0.9, 0.5, last], dtype=torch.float64))
    for name in ("dde", "dde-single", "dde-step"):
        with pytest.raises(
            UserError, match="zero SNR, where by errors of the noise the single-shot estimate does not exist"
        ):
            build_objective(name, schedule, 5000)
    for name in ("sft", "uniform", "discounted"):
        build_objective(name, schedule, 5000)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_zero_terminal_snr_can_be_used_in_native_units(kind: str) -> None:
    abar = torch.tensor([0.9, 0.5, 0.0], dtype=torch.float64)
    for name in ("dde", "dde-single", "dde-step"):
        if kind == "epsilon":  # its native unit is the noise
            with pytest.raises(UserError, match="infinite; use uniform or discounted"):
                build_objective(name, NoiseSchedule(abar, kind, "native"), 5000)
            continue
        build_objective(name, NoiseSchedule(abar, kind, "native"), 5000)
        with pytest.raises(UserError, match="give --error native"):
            build_objective(name, NoiseSchedule(abar, kind, "noise"), 5000)


def test_names_are_known_without_torch() -> None:
    code = "import sys, ddecli.objectives.presets; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
