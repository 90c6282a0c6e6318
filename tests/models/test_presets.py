"""Models by name: revisions, short names, and those of few steps."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import diffusers
import pytest
import torch
from safetensors.torch import save_file

from ddecli.core.errors import UserError
from ddecli.models.base import load_unet_weights
from ddecli.models.few_steps import few_steps_of
from ddecli.models.presets import resolve, short_name

SD15 = "stable-diffusion-v1-5/stable-diffusion-v1-5"


@pytest.mark.parametrize(
    ("name", "revision", "location", "expected"),
    [
        ("sd15", None, SD15, None),
        ("sd15", "abc", SD15, "abc"),
        ("owner/model", None, "owner/model", None),
        ("owner/model@v1", None, "owner/model", "v1"),
        ("owner/model@v1", "abc", "owner/model", "abc"),
        ("owner/model@refs/pr/2", None, "owner/model", "refs/pr/2"),
    ],
)
def test_a_revision_is_the_one_given_else_the_one_in_the_name(
    name: str, revision: str | None, location: str, expected: str | None
) -> None:
    source = resolve(name, revision)
    assert (source.name, source.location, source.revision) == (name, location, expected)


def test_a_folder_has_no_revision(tmp_path: Path) -> None:
    assert resolve("tiny", "abc") == resolve("tiny") and resolve("tiny").revision is None
    for bad in ("./model", "/owner/model", "owner/model@", "a/b/c", f"{tmp_path.name}@x"):
        with pytest.raises(UserError, match="Unknown model"):
            resolve(bad)


def test_short_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run").mkdir()
    monkeypatch.chdir(tmp_path / "run")
    found = [short_name(name) for name in (".", "../run", "tiny", "owner/model", "owner/model@refs/pr/2")]
    assert found == ["run", "run", "tiny", "model", "model@refs-pr-2"]


def test_a_model_with_lora_weights_on_top(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.safetensors", "b+c.safetensors"):
        save_file({"lora_unet_x.lora_down.weight": torch.zeros(1, 1)}, name)
    found = resolve("tiny+a.safetensors")
    assert (found.name, found.loras, found.bases) == (
        "tiny+a.safetensors",
        (Path("a.safetensors"),),
        (None,),
    )
    assert found.location == resolve("tiny").location and found.is_tiny
    both = "owner/model@v1+a.safetensors+b+c.safetensors"
    assert [file.name for file in resolve(both).loras] == ["a.safetensors", "b+c.safetensors"]
    assert (resolve(both).location, resolve(both).revision) == ("owner/model", "v1")
    assert short_name(both) == "model@v1+a+b+c" and short_name("tiny+nothing") == "tiny+nothing"
    Path("tiny+a.safetensors").mkdir()
    with pytest.raises(UserError, match="holds no model"):  # what lies there goes first
        resolve("tiny+a.safetensors")
    for bad in ("tiny+nothing", "tiny+", "nobody+x.safetensors"):
        with pytest.raises(UserError, match=r"there is no file of LoRA weights .* is named MODEL\+FILE"):
            resolve(bad)
    with pytest.raises(UserError, match="Unknown model"):
        resolve("nobody+a.safetensors")
    with pytest.raises(UserError, match="Unknown model"):
        resolve("+a.safetensors")
    Path("a.ckpt").touch()
    with pytest.raises(UserError, match="may hold code"):
        resolve("tiny+a.ckpt")


@pytest.mark.parametrize(
    ("scheduler", "settings", "guided", "expected"),
    [
        ("DDIMScheduler", {}, False, None),
        ("DDIMScheduler", {}, True, (4, 8.0)),
        ("LCMScheduler", {}, False, (4, 1.0)),
        ("TCDScheduler", {}, False, (4, 1.0)),
        ("TCDScheduler", {}, True, (4, 8.0)),
        ("EulerDiscreteScheduler", {"timestep_spacing": "trailing"}, False, (4, 0.0)),
        ("EulerAncestralDiscreteScheduler", {"timestep_spacing": "trailing"}, False, (4, 0.0)),
        ("EulerDiscreteScheduler", {"timestep_spacing": "leading"}, False, None),
        ("DDIMScheduler", {"timestep_spacing": "trailing"}, False, None),
        (
            "EulerDiscreteScheduler",
            {"timestep_spacing": "trailing", "prediction_type": "v_prediction"},
            False,
            None,
        ),
    ],
)
def test_steps_and_guidance_of_models_of_few_steps(
    scheduler: str, settings: dict[str, Any], guided: bool, expected: tuple[int, float] | None
) -> None:
    unet = SimpleNamespace(config={"time_cond_proj_dim": 256 if guided else None})
    pipeline = SimpleNamespace(scheduler=getattr(diffusers, scheduler)(**settings), unet=unet)
    found = few_steps_of(pipeline)
    assert (found and (found.steps, found.guidance_scale)) == expected


def test_weights_of_another_network_are_refused() -> None:
    network = torch.nn.Linear(2, 1)
    bias = network.bias.detach().clone()
    load_unet_weights(network, {"weight": torch.tensor([[3.0, 4.0]])})  # a part of them
    assert network.weight.tolist() == [[3.0, 4.0]] and torch.equal(network.bias, bias)
    with pytest.raises(UserError, match=r"has no parameter other\.weight"):
        load_unet_weights(network, {"weight": torch.zeros(1, 2), "other.weight": torch.zeros(1)})
    assert network.weight.tolist() == [[3.0, 4.0]]
