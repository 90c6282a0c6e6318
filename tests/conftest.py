"""Small random models and pair stores made for them, once a session; whoever damages one takes a copy.

This file also puts its folder on the path, so that tests can import `tiny_models`.
"""

from __future__ import annotations

import gc
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ddecli.core.world import TINY

if TYPE_CHECKING:
    from ddecli.training.settings import TrainSettings

# Tests run side by side, a core each (make test), and threads that wait for one another are slow then.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True, scope="session")
def _no_wait_for_the_disk() -> Iterator[None]:
    """No power cut undoes what tests write: half of a short training would be waiting for the disk."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", os.fstat)  # which as well refuses a file that is not open
        yield


@pytest.fixture(autouse=True)
def _threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What is marked `two_threads`, and what it starts, calculates on TEST_THREADS threads if that is set."""
    threads = os.environ.get("TEST_THREADS")
    if not threads or not request.node.get_closest_marker("two_threads"):
        yield
        return
    import torch

    before = torch.get_num_threads()
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    torch.set_num_threads(int(threads))
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def sd_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Stable Diffusion pipeline: 32x32 pixels, 4x8x8 latents, prompts of 16 tokens."""
    return _model("sd", tmp_path_factory)


@pytest.fixture(scope="session")
def sdxl_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with SDXL's parts."""
    return _model("sdxl", tmp_path_factory)


@pytest.fixture(scope="session")
def world_folder(sd_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model of `sd_folder`, recorded as one of the tiny world."""
    folder = shutil.copytree(sd_folder, tmp_path_factory.mktemp("world") / "random-world")
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | {"_world": TINY}))
    return Path(folder)


@pytest.fixture(scope="session")
def sd_store(sd_folder: Path) -> Path:
    """Pairs of the world, prepared for `sd_folder`."""
    return _store(sd_folder)


@pytest.fixture(scope="session")
def sdxl_store(sdxl_folder: Path) -> Path:
    """Pairs of the world, prepared for `sdxl_folder`."""
    return _store(sdxl_folder)


@pytest.fixture
def settings(sd_folder: Path, sd_store: Path, tmp_path: Path) -> Callable[..., TrainSettings]:
    """Settings of a short run of the small model, which reads nothing of others; keyword arguments change them."""

    from ddecli.training.settings import resolve_settings

    def make(**changed: Any) -> TrainSettings:
        given = {
            "model": str(sd_folder), "data": str(sd_store), "out": str(tmp_path / "run"), "loss": "dde",
            "steps": 4, "batch_size": 8, "micro_batch_size": 8, "lr": 1e-3, "warmup": 2, "beta": 50.0,
            "device": "cpu", "checkpoint_every": 2, "reference": "compute",
        }  # fmt: skip
        return resolve_settings(given | changed)

    return make


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first, or one process would be busy with them when the others are done."""
    items.sort(key=lambda item: item.path.parent.name not in ("workflow", "training", "tinyworld", "watch"))


def pytest_collection_finish() -> None:
    """What has been imported stays: collections of garbage, of which commands make some, need not look at it."""
    gc.freeze()


# Imported where they are used: tests without models start at once.


def _model(family: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    import tiny_models

    folder = tmp_path_factory.mktemp("models") / f"random-{family}"
    getattr(tiny_models, f"{family}_pipeline")().save_pretrained(folder)
    return folder


def _store(model: Path) -> Path:
    from ddecli.data.prepare import prepare
    from ddecli.models.load import load_model
    from ddecli.tinyworld.pairs import world_pairs

    out = model.with_name(f"{model.name}-pairs")
    prepare(world_pairs(40), load_model(str(model)), out, source="world")
    return out
