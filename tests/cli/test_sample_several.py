"""`ddecli sample` with several models."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli_checks import assert_one_sentence, contents

from ddecli.models.load import load_for_sampling

Run = Callable[..., Any]
QUICK = ("--prompt", "a red circle", "--prompt", "a blue star", "--steps", 1, "--images-per-prompt", 2)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with LoRA, and two of the whole U-Net."""
    import torch

    from ddecli.data.prepare import prepare_with
    from ddecli.tinyworld.pairs import world_source
    from ddecli.training.loop import train
    from ddecli.training.settings import resolve_settings

    folder = tmp_path_factory.mktemp("runs")
    prepare_with("tiny", torch.device("cpu"), torch.float32, "world", world_source(16, 0), folder / "store")
    for name, more in {"lora": {"lora": 2}, "full": {}, "other": {"seed": 1}}.items():
        given = {
            "data": str(folder / "store"),
            "steps": 1,
            "batch_size": 4,
            "out": str(folder / name),
            "lr": 1e-3,
        }
        train(resolve_settings(given | more, None))
    return folder


def without_lock(folder: Path) -> dict[str, bytes]:
    return {name: content for name, content in contents(folder).items() if name != ".lock"}


@pytest.mark.two_threads
def test_the_files_are_those_of_calls_of_their_own(
    ddecli: Run, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = [str(runs / "full"), "tiny", str(runs / "lora"), str(runs / "other"), "tiny-xl"]
    names = ["full", "tiny", "lora", "other", "tiny-xl"]
    for model, name in zip(models, names, strict=True):
        assert ddecli("sample", model, *QUICK, "--out", tmp_path / "alone" / name).code == 0
    loaded: list[Any] = []

    def watched(*given: Any) -> Any:
        loaded.append(load_for_sampling(*given))
        return loaded[-1]

    monkeypatch.setattr("ddecli.models.load.load_for_sampling", watched)
    typed = ddecli("sample", *models, *QUICK, "--out", "together")
    assert typed.code == 0, typed.error
    assert typed.out.count("4 images made") == len(models)
    for name in names:
        assert without_lock(tmp_path / "together" / name) == without_lock(tmp_path / "alone" / name)
    # What is equal was loaded once: tiny and its runs have one autoencoder and text encoder.
    encoders = {id(model.pipeline.text_encoder) for model in loaded}
    assert [model.source.name for model in loaded] == models and len(encoders) == 2
    assert all(model.unet is None for model in loaded[:-1])
    again = ddecli("sample", *models, *QUICK, "--out", "together/{name}", "--json")
    answer = json.loads(again.out)
    assert [(row["made"], row["kept"], row["complete"]) for row in answer["folders"]] == [(0, 4, True)] * 5
    assert answer["failed"] == []


def test_one_that_fails_is_named_and_the_others_are_done(ddecli: Run, runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "full", "broken")
    weights = Path("broken/model/unet/diffusion_pytorch_model.safetensors")
    weights.write_bytes(weights.read_bytes()[:1000])
    (tmp_path / "images" / "other").mkdir(parents=True)
    (tmp_path / "images" / "other" / "mine.png").write_bytes(b"")
    models = ("tiny", "broken", "nowhere", runs / "other", runs / "lora")
    typed = ddecli("sample", *models, *QUICK)
    assert_one_sentence(
        typed, "3 of 5 models could not be sampled", "broken: ", "nowhere: ", "other holds images"
    )
    assert typed.out.count("complete.") == 2
    assert {path.name for path in (tmp_path / "images").iterdir()} == {"tiny", "lora", "other"}
    assert [path.name for path in (tmp_path / "images" / "other").glob("*.png")] == ["mine.png"]
    listed = json.loads(ddecli("sample", *models, *QUICK, "--json").out)
    assert [row["out"] for row in listed["folders"]] == ["images/tiny", "images/lora"]
    assert [line.partition(":")[0] for line in listed["failed"]] == ["broken", "nowhere", str(runs / "other")]


def test_two_with_one_folder_are_refused_before_anything_is_drawn(
    ddecli: Run, runs: Path, tmp_path: Path
) -> None:
    shutil.copytree(runs / "full", "more/full")
    for models in ((runs / "full", "tiny", "more/full"), ("tiny", "tiny")):
        assert_one_sentence(ddecli("sample", *models, *QUICK), "would both be sampled into images/")
        assert not (tmp_path / "images").exists()
