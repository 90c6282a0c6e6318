"""Checkpoints: kept, whole, and passed over when damaged."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from full_disk import full_disk

from ddecli.core.errors import UserError
from ddecli.training.checkpoint import (
    AVERAGE,
    FILES,
    Checkpoint,
    latest_step,
    load_checkpoint,
    save_checkpoint,
)

CPU = torch.device("cpu")


def save(folder: Path, *steps: int) -> None:
    for step in steps:
        optimizer = {"state": {0: {"step": torch.tensor(float(step))}}, "param_groups": []}
        weights = {"w": torch.full((3,), float(step))}
        save_checkpoint(folder, Checkpoint(step, weights, optimizer, {"p": torch.zeros(1)}, weights))


def test_the_last_two_are_kept(tmp_path: Path) -> None:
    save(tmp_path, 2, 4, 6)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000004", "step-000006"]
    assert latest_step(tmp_path) == 6


def test_round_trip(tmp_path: Path) -> None:
    save(tmp_path, 5)
    found = load_checkpoint(tmp_path, CPU)
    assert found is not None
    assert found.step == 5
    assert torch.equal(found.trainable["w"], torch.full((3,), 5.0))
    assert found.optimizer["state"][0]["step"] == 5
    assert "p" in found.progress
    assert found.average is not None and torch.equal(found.average["w"], found.trainable["w"])


@pytest.mark.parametrize("name", [*FILES, AVERAGE])
def test_a_file_cut_short_is_passed_over(tmp_path: Path, name: str) -> None:
    save(tmp_path, 2, 4)
    damaged = tmp_path / "step-000004" / name
    damaged.write_bytes(damaged.read_bytes()[:-7])
    found = load_checkpoint(tmp_path, CPU)
    assert found is not None
    assert found.step == 2


def test_nothing_is_none_and_all_damaged_is_said(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path, CPU) is None
    save(tmp_path, 2)
    (tmp_path / "step-000002" / "state.json").write_text("{")
    with pytest.raises(UserError, match="damaged"):
        load_checkpoint(tmp_path, CPU)


@pytest.mark.parametrize("large", ["trainable", "optimizer", "progress"])
def test_a_full_disk_keeps_the_checkpoints_before(tmp_path: Path, large: str) -> None:
    save(tmp_path, 2)
    parts = {"trainable": {"w": torch.zeros(1)}, "optimizer": {"m": torch.zeros(1)}, "progress": {}}
    parts[large] = {"m": torch.zeros(50_000)}
    with full_disk(20_000), pytest.raises(UserError, match="Cannot write .*step-000004: .*File too large"):
        save_checkpoint(tmp_path, Checkpoint(4, **parts))
    assert [path.name for path in tmp_path.iterdir()] == ["step-000002"]
    found = load_checkpoint(tmp_path, CPU)
    assert found is not None
    assert found.step == 2
