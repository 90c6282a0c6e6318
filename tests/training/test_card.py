"""The model card, and the upload of a finished model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from ddecli.core.errors import UserError
from ddecli.models.load import load_model
from ddecli.models.presets import resolve
from ddecli.training import hub
from ddecli.training.card import base_hub_id, write_card
from ddecli.training.settings import TrainSettings, resolve_settings

Make = Callable[..., TrainSettings]
PAIRS = {
    "source": "/home/somebody/secret/my-pairs",
    "counts": {"pairs": 1200, "images": 2100, "prompts": 301},
    "dropped": {"tie": 17},
    "model": {"resolution": 512},
}


@pytest.fixture
def card(tmp_path: Path, sd_folder: Path) -> Callable[..., ModelCard]:
    """The card of a run with these settings, as the hub reads it."""

    def make(lora: bool = False, **given: Any) -> ModelCard:
        model = load_model(str(sd_folder), encoders=False)
        settings = resolve_settings(given | ({"lora": 4} if lora else {}))
        model.source = resolve(settings.model)
        write_card(tmp_path, settings, model, PAIRS)
        return ModelCard.load(tmp_path / "README.md")

    return make


def test_the_card_of_a_model_from_the_hub(card: Callable[..., ModelCard]) -> None:
    found = card(model="sd15", loss="dde", beta=321.0)
    data = found.data.to_dict()
    assert data["base_model"] == "stable-diffusion-v1-5/stable-diffusion-v1-5"
    assert data["base_model_relation"] == "finetune" and data["library_name"] == "diffusers"
    assert {"text-to-image", "dde"} <= set(data["tags"]) and "lora" not in data["tags"]
    assert "| beta | 321.0 |" in found.text and "2411.14871" in found.text
    assert "1,200 pairs of 2,100 images" in found.text and "dropped: 17 (tie)" in found.text
    assert "my-pairs" in found.text and "secret" not in found.text
    assert "StableDiffusionPipeline.from_pretrained(here)" in found.text and "torch " in found.text
    assert data["license"] == "creativeml-openrail-m" and "`creativeml-openrail-m`, as that of" in found.text
    assert "eprint = {2411.14871}" in found.text and "@software{ddecli," in found.text


def test_the_card_of_lora_weights(card: Callable[..., ModelCard]) -> None:
    found = card(lora=True, model="sd15", loss="uniform")
    assert found.data.to_dict()["base_model_relation"] == "adapter"
    assert 'base = "stable-diffusion-v1-5/stable-diffusion-v1-5"\n' in found.text
    assert "load_lora_weights" in found.text
    assert "In ComfyUI, A1111 and their kin: `sd15-uniform-lora4-kohya.safetensors`" in found.text
    assert "ComfyUI" not in card(lora=True, model="sd15", loss="uniform", lora_format="diffusers").text


@pytest.mark.parametrize(
    ("model", "license", "said"),
    [
        ("sdxl", "openrail++", "`openrail++`, as that of stabilityai/"),
        ("tiny", "apache-2.0", "`apache-2.0`"),
        ("owner/model", None, "that of owner/model holds"),
    ],
)
def test_the_license_is_that_of_the_base(
    card: Callable[..., ModelCard], model: str, license: str | None, said: str
) -> None:
    found = card(model=model, loss="dde")
    assert found.data.to_dict().get("license") == license and said in found.text


def test_the_base_of_a_local_model_is_no_hub_id(card: Callable[..., ModelCard], tmp_path: Path) -> None:
    assert "base_model" not in card(model="tiny", loss="dde").data.to_dict()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.yaml").write_text("model: sdxl\n")
    assert base_hub_id(str(tmp_path / "run")) == "stabilityai/stable-diffusion-xl-base-1.0"
    assert base_hub_id(str(tmp_path / "nowhere")) is None
    (tmp_path / "run" / "run.yaml").write_text("model: [")
    assert base_hub_id(str(tmp_path / "run")) is None


class Hub:
    """Takes calls instead of the hub."""

    def __init__(self, error: Exception | None = None) -> None:
        self.calls: list[tuple[str, str]] = []
        self.error = error

    def create_repo(self, repository: str, private: bool, exist_ok: bool) -> None:
        assert private and exist_ok
        self.calls.append(("create", repository))

    def upload_folder(self, repo_id: str, folder_path: Path, commit_message: str) -> None:
        if self.error:
            raise self.error
        self.calls.append((repo_id, str(folder_path)))


def test_a_finished_model_is_uploaded_for_its_owner_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    taken = Hub()
    monkeypatch.setattr(hub, "HfApi", lambda: taken)
    hub.push(tmp_path, "me/model")
    assert taken.calls == [("create", "me/model"), ("me/model", str(tmp_path))]
    said = capsys.readouterr().err
    assert "https://huggingface.co/me/model" in said
    assert "private: to make it public, open its Settings" in said


def test_a_failed_upload_says_how_to_repeat_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(hub, "HfApi", lambda: Hub(ConnectionError("no route to host\nmore")))
    with pytest.raises(
        UserError, match=rf"\(no route to host\): .* hf upload --private me/model {tmp_path}$"
    ):
        hub.push(tmp_path, "me/model")


@pytest.mark.parametrize(
    ("repository", "token", "said"),
    [("model", "t", "OWNER/NAME"), ("a/b/c", "t", "a/b/c"), ("me/model", None, "hf auth login")],
)
def test_what_cannot_be_uploaded_is_said_before_training(
    monkeypatch: pytest.MonkeyPatch, repository: str, token: str | None, said: str
) -> None:
    monkeypatch.setattr(hub, "get_token", lambda: token)
    with pytest.raises(UserError, match=said):
        hub.check_can_push(repository)
