"""Models of the hub: what is fetched of a repository that holds its weights many times over, and the cache."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_checks import contents
from huggingface_hub import hf_hub_download
from small_hub import SmallHub, hub_in_place
from stored_models import STORED, with_other_files

from ddecli.core.errors import UserError
from ddecli.models.load import load_model, load_pipeline, load_schedule

ID = "someone/model"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[SmallHub]:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    with hub_in_place(monkeypatch) as running:
        yield running


def go_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


@pytest.mark.parametrize("stored", STORED)
def test_only_what_is_loaded_is_fetched(
    hub: SmallHub, sd_folder: Path, tmp_path: Path, stored: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = STORED[stored](sd_folder, tmp_path / "base")
    hub.files[ID] = contents(base)
    model = load_model(ID)
    expected = set(contents(sd_folder) if stored == "with_other_files" else hub.files[ID])
    assert set(hub.sent) == expected and all(hub.sent[name] == len(hub.files[ID][name]) for name in expected)
    assert model.fingerprint == load_model(str(base)).fingerprint
    go_offline(monkeypatch)
    assert load_model(ID).fingerprint == model.fingerprint


def test_a_schedule_needs_no_weights(hub: SmallHub, sd_folder: Path) -> None:
    hub.files[ID] = contents(sd_folder)
    assert load_schedule(ID).num_timesteps == 1000
    assert set(hub.sent) == {"model_index.json", "scheduler/scheduler_config.json"}


@pytest.mark.parametrize("stored", ["full_precision", "fp16_names_only", "bin_files"])
def test_a_cache_that_another_program_filled(
    hub: SmallHub, sd_folder: Path, tmp_path: Path, stored: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It fetched what it needs, file by file, of a repository that has more."""
    own = contents(STORED[stored](sd_folder, tmp_path / "base"))
    hub.files[ID] = contents(with_other_files(sd_folder, tmp_path / "other")) | own
    for name in own:
        hf_hub_download(ID, name)
    go_offline(monkeypatch)
    load_pipeline(ID)


def test_half_a_download_is_no_model(hub: SmallHub, sd_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.files[ID] = contents(sd_folder)
    for name in hub.files[ID]:
        if not name.startswith("vae/diffusion"):
            hf_hub_download(ID, name)
    go_offline(monkeypatch)
    with pytest.raises(UserError, match="someone/model is not in the local cache"):
        load_pipeline(ID)
