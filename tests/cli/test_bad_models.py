"""LoRA weights, checkpoints and parts of one model given as another: said in one sentence, and nothing is written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny_models
import torch
from cli_checks import assert_one_sentence, contents
from pair_data import write_folder
from safetensors.torch import load_file, save_file
from single_files import save_single_file
from small_hub import SmallHub, hub_in_place
from stored_models import bin_files

Run = Callable[..., Any]
CLASSES = {"sd": "StableDiffusionPipeline", "sdxl": "StableDiffusionXLPipeline"}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, sd_folder: Path, sdxl_folder: Path) -> dict[str, Path]:
    """Folders of both families, and of an `sd` whose U-Net takes wider text embeddings than its encoder makes."""
    other = tiny_models.sd_pipeline()
    other.register_modules(unet=tiny_models._unet(cross_attention_dim=24))
    folder = tmp_path_factory.mktemp("models") / "sd24"
    other.save_pretrained(folder)
    return {"sd": sd_folder, "sdxl": sdxl_folder, "sd24": folder}


def lora_run(trained: Path, base: Path) -> Path:
    """A run that says that it started from `base`, with LoRA weights that were trained on another model."""
    from ddecli.models.load import load_model

    model = load_model(str(trained), encoders=False)
    model.add_lora(2, seed=0)
    model.save(Path("lora/model"))
    Path("lora/run.yaml").write_text(f"model: {base}\n")
    return Path("lora")


def refused(ddecli: Run, model: object, store: Path, *parts: str) -> None:
    """Neither `sample` nor `train` takes a model; both say the same."""
    commands = [
        ("sample", model, "--prompt", "a", "--steps", 1, "--images-per-prompt", 1),
        ("train", "--model", model, "--data", store, "--device", "cpu", "--steps", 1),
    ]
    for command in commands:
        assert_one_sentence(ddecli(*command, "--out", "out"), *parts)
        assert not contents("out")


@pytest.mark.parametrize(("trained", "base"), [("sd", "sdxl"), ("sdxl", "sd"), ("sd24", "sd")])
def test_lora_weights_of_another_model(
    ddecli: Run, models: dict[str, Path], sd_store: Path, trained: str, base: str
) -> None:
    run = lora_run(models[trained], models[base])
    refused(ddecli, run, sd_store, "lora/model/pytorch_lora", f"do not fit {models[base]}", "run.yaml")


def test_lora_weights_alone(ddecli: Run, models: dict[str, Path], sd_store: Path) -> None:
    run = lora_run(models["sd"], models["sd"])
    refused(ddecli, run / "model", sd_store, "holds LoRA weights without their base", str(run.resolve()))
    file = run / "model" / "pytorch_lora_weights.safetensors"
    refused(ddecli, file, sd_store, "holds LoRA weights, not a whole")


@pytest.mark.parametrize(("family", "other"), [("sd", "sdxl"), ("sdxl", "sd")])
def test_a_folder_that_says_one_family_and_holds_another(
    ddecli: Run, models: dict[str, Path], sd_store: Path, family: str, other: str
) -> None:
    folder = Path(shutil.copytree(models[family], "mixed"))
    shutil.rmtree(folder / "unet")
    shutil.copytree(models[other] / "unet", folder / "unet")
    refused(ddecli, folder, sd_store, f"is a {CLASSES[family]}, but its U-Net is one of {other}")
    folder = Path(shutil.copytree(models[other], "renamed"))
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | {"_class_name": CLASSES[family]}))
    refused(ddecli, folder, sd_store, f"is a {CLASSES[family]}, but its U-Net is one of {other}")


def test_parts_of_different_models(ddecli: Run, models: dict[str, Path], sd_store: Path) -> None:
    sample = ("--prompt", "a", "--steps", 1, "--images-per-prompt", 1, "--out", "out")
    typed = ddecli("sample", models["sd24"], *sample)
    assert_one_sentence(typed, "text embeddings of width 24, its text encoders make 16")
    typed = ddecli("prepare", "--model", models["sd24"], "--data", "world", "--limit", 2, "--out", "out")
    assert_one_sentence(typed, "text embeddings of width 24, its text encoders make 16")
    inpainting = Path(shutil.copytree(models["sd"], "inpainting"))
    tiny_models._unet(cross_attention_dim=16, in_channels=9).save_pretrained(inpainting / "unet")
    refused(ddecli, inpainting, sd_store, "takes 9 channels, its autoencoder makes 4")
    assert not contents("out")


def test_pairs_prepared_for_another_family(
    ddecli: Run, models: dict[str, Path], sd_store: Path, sdxl_store: Path
) -> None:
    for family, store in (("sdxl", sd_store), ("sd", sdxl_store)):
        typed = ddecli("train", "--model", models[family], "--data", store, "--device", "cpu", "--out", "out")
        assert_one_sentence(typed, f"{store} was prepared for another model", "Run ddecli prepare")
    assert not contents("out")


@pytest.mark.parametrize(("family", "other"), [("sd", "sdxl"), ("sdxl", "sd")])
def test_a_checkpoint_file_beside_configurations_of_another_family(
    ddecli: Run,
    models: dict[str, Path],
    sd_store: Path,
    monkeypatch: pytest.MonkeyPatch,
    family: str,
    other: str,
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_ASSETS_CACHE", str(Path("cache").resolve()))
    file = save_single_file(getattr(tiny_models, f"{family}_pipeline")(), Path("some.safetensors"))
    shutil.copytree(models[other], "some")
    refused(ddecli, file, sd_store, f"is a checkpoint of {family}, but the folder", f"one of {other}")


def test_a_checkpoint_file_of_another_size(
    ddecli: Run, models: dict[str, Path], sd_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What diffusers says is long; its first sentence is ours."""
    monkeypatch.setattr("huggingface_hub.constants.HF_ASSETS_CACHE", str(Path("cache").resolve()))
    pipeline = tiny_models.sd_pipeline()
    pipeline.unet.conv_in = torch.nn.Conv2d(4, 16, 3, padding=1)
    file = save_single_file(pipeline, Path("some.safetensors"))
    shutil.copytree(models["sd"], "some")
    typed = ddecli("train", "--model", file, "--data", sd_store, "--device", "cpu", "--out", "out")
    assert_one_sentence(typed, "cannot be loaded as a checkpoint of sd", "expected shape")
    assert typed.error.strip().endswith("got torch.Size([16, 4, 3, 3]).")


def test_a_checkpoint_file_without_an_autoencoder(
    ddecli: Run, models: dict[str, Path], sd_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is taken from the folder beside the file, or asked for."""
    monkeypatch.setattr("huggingface_hub.constants.HF_ASSETS_CACHE", str(Path("cache").resolve()))
    file = save_single_file(tiny_models.sd_pipeline(), Path("some.safetensors"))
    kept = {name: value for name, value in load_file(file).items() if "first_stage_model" not in name}
    save_file(kept, file)
    shutil.copytree(models["sd"], "some", ignore=shutil.ignore_patterns("diffusion_pytorch_model.*"))
    refused(
        ddecli, file, sd_store, "some.safetensors holds no autoencoder: put a diffusers folder", "as some."
    )
    shutil.copytree(models["sd"], "some", dirs_exist_ok=True)
    train = ("train", "--model", file, "--data", sd_store, "--device", "cpu", "--steps", 1, "--batch-size", 2)
    typed = ddecli(*train, "--out", "out")
    assert typed.code == 0, typed.error


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[SmallHub]:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    with hub_in_place(monkeypatch) as running:
        yield running


def test_models_of_the_hub_that_cannot_be_had(
    ddecli: Run, sd_store: Path, hub: SmallHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused(ddecli, "someone/none", sd_store, "The hub has no model someone/none", "HF_TOKEN")
    hub.gated.add("someone/gated")
    refused(ddecli, "someone/gated", sd_store, "someone/gated is gated: accept its terms", "HF_TOKEN")
    hub.files["someone/words"] = {"README.md": b"no model", "adapter.bin": b""}
    refused(ddecli, "someone/words", sd_store, "someone/words holds no diffusers pipeline")
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    said = "someone/other is not in the local cache and the hub cannot be reached"
    refused(ddecli, "someone/other", sd_store, said, "hf download someone/other")


@pytest.mark.parametrize("part", ["vae", "text_encoder"])
def test_pairs_of_another_autoencoder_or_text_encoder(
    ddecli: Run, models: dict[str, Path], part: str
) -> None:
    """Whatever format it is stored in; a second copy that is not loaded makes no other model."""
    base = bin_files(models["sd"], Path("base"))
    rows = [{"prompt": "a", "chosen": f"{2 * i}.png", "rejected": f"{2 * i + 1}.png"} for i in range(4)]
    data = write_folder(Path("data"), rows, pictures=8)
    assert ddecli("prepare", "--model", base, "--data", data, "--out", "pairs").code == 0
    train = ("train", "--model", base, "--data", "pairs", "--device", "cpu", "--steps", 1, "--batch-size", 2)
    (base / "vae" / "diffusion_pytorch_model.fp16.safetensors").write_bytes(b"never loaded")
    assert ddecli(*train, "--out", "taken").code == 0
    file = next((base / part).glob("*.bin"))
    torch.save({name: value + 1 for name, value in torch.load(file).items()}, file)
    assert_one_sentence(ddecli(*train, "--out", "out"), "pairs was prepared for another model")
