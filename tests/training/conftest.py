"""A small random model and a pair store for it, made once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_models

from ddecli.data.prepare import prepare
from ddecli.models.load import load_model
from ddecli.tinyworld.pairs import world_pairs
from ddecli.training.settings import TrainSettings, resolve_settings


@pytest.fixture(scope="session")
def sd_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "random-sd"
    tiny_models.sd_pipeline().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def sdxl_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "random-sdxl"
    tiny_models.sdxl_pipeline().save_pretrained(folder)
    return folder


def _store(model: Path) -> Path:
    out = model.with_name(f"{model.name}-pairs")
    prepare(world_pairs(40), load_model(str(model)), out, source="world")
    return out


@pytest.fixture(scope="session")
def sd_store(sd_folder: Path) -> Path:
    return _store(sd_folder)


@pytest.fixture(scope="session")
def sdxl_store(sdxl_folder: Path) -> Path:
    return _store(sdxl_folder)


@pytest.fixture
def settings(sd_folder: Path, sd_store: Path, tmp_path: Path) -> Callable[..., TrainSettings]:
    """Settings of a short run of the small model; keyword arguments change them."""

    def make(**changed: Any) -> TrainSettings:
        given = {
            "model": str(sd_folder), "data": str(sd_store), "out": str(tmp_path / "run"), "loss": "dde",
            "steps": 4, "batch_size": 8, "micro_batch_size": 8, "lr": 1e-3, "warmup": 2, "beta": 50.0,
            "device": "cpu", "checkpoint_every": 2,
        }  # fmt: skip
        return resolve_settings(given | changed)

    return make
