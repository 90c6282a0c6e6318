"""Models of the hub: what is fetched of a repository that holds its weights many times over, and the cache."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from cli_checks import contents
from diffusers import DiffusionPipeline
from huggingface_hub import hf_api, hf_hub_download
from safetensors.torch import load_file
from small_hub import SmallHub, hub_in_place
from stored_models import STORED, with_other_files

from ddecli.core.errors import UserError
from ddecli.models.load import load_for_sampling, load_model
from ddecli.models.schedulers import load_schedule

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
    load_for_sampling(ID)


@pytest.mark.parametrize("variant", [None, "fp16"])
@pytest.mark.parametrize("family", ["sd", "sdxl"])
def test_a_cache_that_stock_diffusers_filled(
    hub: SmallHub,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    family: str,
    variant: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its index names a safety checker that is nowhere to be found."""
    base = with_other_files(request.getfixturevalue(f"{family}_folder"), tmp_path / "base")
    name_more(base)
    shutil.rmtree(base / "safety_checker", ignore_errors=True)
    hub.files[ID] = contents(base)
    left_out = {"safety_checker": None, "feature_extractor": None} if family == "sd" else {}
    monkeypatch.setattr(hf_api.api, "endpoint", hub.url)  # the one that `huggingface_hub.model_info` asks
    DiffusionPipeline.from_pretrained(ID, variant=variant, **left_out)
    fetched = {name for name in hub.sent if name.endswith((".safetensors", ".bin"))}
    assert fetched and all((".fp16." in name) == (variant == "fp16") for name in fetched)
    go_offline(monkeypatch)
    unet = load_for_sampling(ID).pipeline.unet.state_dict()
    for name, value in load_file(next(tmp_path.glob("base/unet/*model.safetensors"))).items():
        assert torch.equal(unet[name], value.half().float() if variant else value), name


@pytest.mark.parametrize("family", ["sd", "sdxl"])
def test_parts_that_are_named_and_not_there(
    request: pytest.FixtureRequest, tmp_path: Path, family: str
) -> None:
    base = Path(shutil.copytree(request.getfixturevalue(f"{family}_folder"), tmp_path / "base"))
    expected = load_model(str(base)).fingerprint
    name_more(base, enhancer=["my_module", "Enhancer"])
    assert load_model(str(base)).fingerprint == expected
    shutil.rmtree(base / "vae")
    with pytest.raises(
        UserError, match=r"The model in .*base is not whole: its folder vae/ is missing, or lacks"
    ):
        load_model(str(base))
    index = json.loads((base / "model_index.json").read_text())
    (base / "model_index.json").write_text(json.dumps(index | {"vae": [None, None]}))
    with pytest.raises(
        UserError, match=r"The model in .*base is not whole: its folder vae/ is missing, or lacks"
    ):
        load_model(str(base))


def name_more(folder: Path, **more: list[str]) -> None:
    """Name parts in a pipeline's index that it does not have."""
    index = json.loads((folder / "model_index.json").read_text())
    if index["_class_name"] == "StableDiffusionPipeline":
        more |= {"safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"]}
        more |= {"feature_extractor": ["transformers", "CLIPImageProcessor"]}
    (folder / "model_index.json").write_text(json.dumps(index | more))


def test_half_a_download_is_no_model(hub: SmallHub, sd_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.files[ID] = contents(sd_folder)
    for name in hub.files[ID]:
        if not name.startswith("vae/diffusion"):
            hf_hub_download(ID, name)
    go_offline(monkeypatch)
    with pytest.raises(UserError, match="someone/model is not in the local cache"):
        load_for_sampling(ID)
