"""Settings of a short run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ddecli.training.settings import TrainSettings, resolve_settings


@pytest.fixture
def settings(sd_folder: Path, sd_store: Path, tmp_path: Path) -> Callable[..., TrainSettings]:
    """Settings of a short run of the small model, which reads nothing of others; keyword arguments change them."""

    def make(**changed: Any) -> TrainSettings:
        given = {
            "model": str(sd_folder), "data": str(sd_store), "out": str(tmp_path / "run"), "loss": "dde",
            "steps": 4, "batch_size": 8, "micro_batch_size": 8, "lr": 1e-3, "warmup": 2, "beta": 50.0,
            "device": "cpu", "checkpoint_every": 2, "reference": "compute",
        }  # fmt: skip
        return resolve_settings(given | changed)

    return make
