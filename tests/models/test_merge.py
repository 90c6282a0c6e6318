"""LoRA weights made part of their base: what stock diffusers loads of a folder or a file draws as base and LoRA do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
import torch
from diffusers import DiffusionPipeline, StableDiffusionPipeline, StableDiffusionXLPipeline
from kohya import kohya_names, text_encoder_weights
from safetensors.torch import load_file, save_file
from single_files import save_single_file
from torch import Tensor

from ddecli.core.errors import UserError
from ddecli.models.load import load_for_sampling, load_model
from ddecli.models.merge import merge

CLASSES: dict[str, Any] = {"sd": StableDiffusionPipeline, "sdxl": StableDiffusionXLPipeline}
FAMILIES = ("sd", "sdxl")


def draw(pipeline: Any) -> np.ndarray:
    """A picture, (32, 32, 3) in [0, 1]."""
    pipeline.set_progress_bar_config(disable=True)
    return pipeline(
        "a red circle", num_inference_steps=3, height=32, width=32, output_type="np",
        generator=torch.Generator().manual_seed(0),
    ).images[0]  # fmt: skip


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory, sd_folder: Path) -> dict[str, Path]:
    """Folders of both families; in a single file diffusers tells SDXL's text encoders apart by their widths."""
    folder = tmp_path_factory.mktemp("models") / "random-sdxl"
    tiny_models.told_apart(tiny_models.sdxl_pipeline()).save_pretrained(folder)
    return {"sd": sd_folder, "sdxl": folder}


@pytest.fixture
def base(family: str, bases: dict[str, Path]) -> Path:
    return bases[family]


@pytest.fixture
def run(base: Path, tmp_path: Path) -> Path:
    """A LoRA run that changes its base."""
    model = load_model(str(base), encoders=False)
    model.add_lora(2, seed=0)
    for number, parameter in enumerate(model.trainable().values()):
        parameter.data += torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number)) / 5
    model.save(tmp_path / "run" / "model", lora_format="both", name="run")
    (tmp_path / "run" / "run.yaml").write_text(f"model: {base}\n")
    return tmp_path / "run"


@pytest.fixture
def expected(base: Path, run: Path) -> np.ndarray:
    """What stock diffusers draws with the LoRA on its base."""
    pipeline = DiffusionPipeline.from_pretrained(base, safety_checker=None)
    without = draw(pipeline)
    pipeline.load_lora_weights(run / "model")
    found = draw(pipeline)
    assert np.abs(found - without).max() > 0.02
    return found


def test_a_folder(base: Path, run: Path, expected: np.ndarray, tmp_path: Path) -> None:
    summary = merge(str(run), tmp_path / "merged")
    assert summary.loras == [str(run / "model" / "pytorch_lora_weights.safetensors")]
    assert summary.bytes == sum(f.stat().st_size for f in (tmp_path / "merged").rglob("*") if f.is_file())
    np.testing.assert_allclose(
        draw(DiffusionPipeline.from_pretrained(tmp_path / "merged")), expected, atol=1e-5
    )
    np.testing.assert_allclose(
        draw(load_for_sampling(str(tmp_path / "merged")).pipeline), expected, atol=1e-5
    )
    assert load_model(str(tmp_path / "merged")).fingerprint == load_model(str(base)).fingerprint


def test_a_single_file(base: Path, run: Path, expected: np.ndarray, family: str, tmp_path: Path) -> None:
    merge(str(run), tmp_path / "merged.safetensors")
    stock = CLASSES[family].from_single_file(str(tmp_path / "merged.safetensors"), config=str(base))
    np.testing.assert_allclose(draw(stock), expected, atol=1e-5)


def test_a_file_has_the_names_of_the_original_code(base: Path, family: str, tmp_path: Path) -> None:
    merge(str(base), tmp_path / "ours.safetensors")
    theirs = save_single_file(CLASSES[family].from_pretrained(base), tmp_path / "theirs.safetensors")
    ours, other = load_file(tmp_path / "ours.safetensors"), load_file(theirs)
    assert ours.keys() == other.keys()
    assert all(torch.equal(value, other[name]) for name, value in ours.items())


@pytest.mark.parametrize("loaded", [torch.float32, None])
def test_half_precision(
    base: Path, run: Path, expected: np.ndarray, family: str, loaded: Any, tmp_path: Path
) -> None:
    """Whoever loads it without saying a precision gets parts that fit together."""
    merge(str(run), tmp_path / "half", "fp16")
    merge(str(run), tmp_path / "half.safetensors", "fp16")
    files = [*(tmp_path / "half").rglob("*.safetensors"), tmp_path / "half.safetensors"]
    kinds = {value.dtype for file in files for value in load_file(file).values()}
    assert len(files) >= 4 and kinds == {torch.float16}
    stock = DiffusionPipeline.from_pretrained(tmp_path / "half", **({"dtype": loaded} if loaded else {}))
    np.testing.assert_allclose(draw(stock), expected, atol=0.02)
    single = CLASSES[family].from_single_file(
        str(tmp_path / "half.safetensors"), config=str(base), dtype=torch.float32
    )
    np.testing.assert_allclose(draw(single), draw(stock), atol=1e-5)


def test_any_model_and_a_lora_of_kohya(base: Path, run: Path, expected: np.ndarray, tmp_path: Path) -> None:
    name = f"{base}+{run / 'model' / 'run-kohya.safetensors'}"
    merge(name, tmp_path / "merged")
    np.testing.assert_allclose(
        draw(DiffusionPipeline.from_pretrained(tmp_path / "merged")), expected, atol=1e-5
    )
    merge(f"{base}+{run}", tmp_path / "of-the-run")
    twice = merge(f"{run}+{run / 'model' / 'run-kohya.safetensors'}", tmp_path / "twice")
    assert [Path(lora).name for lora in twice.loras] == [
        "pytorch_lora_weights.safetensors",
        "run-kohya.safetensors",
    ]
    weights = {
        folder: load_file(tmp_path / folder / "unet" / "diffusion_pytorch_model.safetensors")
        for folder in ("merged", "of-the-run", "twice")
    }
    start = load_model(str(base), encoders=False).unet.state_dict()
    for key, value in start.items():
        assert torch.equal(weights["merged"][key], weights["of-the-run"][key])
        change = weights["merged"][key] - value
        torch.testing.assert_close(weights["twice"][key] - value, 2 * change, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("family", ["sd"], indirect=True)
def test_text_encoders_that_a_lora_changes(base: Path, run: Path, tmp_path: Path) -> None:
    ours = load_file(run / "model" / "pytorch_lora_weights.safetensors")
    torch.manual_seed(0)
    save_file(kohya_names(ours) | text_encoder_weights(), tmp_path / "style.safetensors")
    name = f"{base}+{tmp_path / 'style.safetensors'}"
    stock = DiffusionPipeline.from_pretrained(base, safety_checker=None)
    stock.load_lora_weights(tmp_path, weight_name="style.safetensors")
    expected = draw(stock)
    embedded = stock.encode_prompt("a red circle", "cpu", 1, False)[0]
    merge(name, tmp_path / "merged")
    merge(name, tmp_path / "half", "fp16")
    merge(name, tmp_path / "merged.safetensors")
    folder = DiffusionPipeline.from_pretrained(tmp_path / "merged")
    single = StableDiffusionPipeline.from_single_file(str(tmp_path / "merged.safetensors"), config=str(base))
    for pipeline in (folder, single):
        found = pipeline.encode_prompt("a red circle", "cpu", 1, False)[0]
        torch.testing.assert_close(found, embedded, atol=1e-5, rtol=1e-4)
        np.testing.assert_allclose(draw(pipeline), expected, atol=1e-4)
    half = DiffusionPipeline.from_pretrained(tmp_path / "half")
    np.testing.assert_allclose(draw(half), expected, atol=0.02)


def test_v_prediction_is_said_in_a_single_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_ASSETS_CACHE", str(tmp_path / "cache"))
    pipeline = tiny_models.sd_pipeline()
    pipeline.scheduler = type(pipeline.scheduler).from_config(
        pipeline.scheduler.config, prediction_type="v_prediction"
    )
    pipeline.save_pretrained(tmp_path / "v")
    merge(str(tmp_path / "v"), tmp_path / "single.safetensors")
    tiny_models.sd_pipeline().save_pretrained(tmp_path / "single")
    assert load_model(str(tmp_path / "single.safetensors")).schedule.prediction_type == "v_prediction"


@pytest.mark.parametrize(
    ("changed", "width", "sentence"),
    [
        ({"prediction_type": "sample"}, 16, "cannot say this model's noise schedule, or what it predicts"),
        ({"beta_end": 0.02}, 16, "cannot say this model's noise schedule"),
        ({"num_train_timesteps": 500}, 16, "cannot say this model's noise schedule"),
        ({}, 1024, "A Stable Diffusion 2 has a layer more"),
    ],
)
def test_what_a_single_file_cannot_hold(
    changed: dict[str, Any], width: int, sentence: str, tmp_path: Path
) -> None:
    pipeline = tiny_models.sd_pipeline()
    pipeline.scheduler = type(pipeline.scheduler).from_config(pipeline.scheduler.config, **changed)
    if width != 16:
        words = tiny_models._text_config(pipeline.tokenizer)
        words.hidden_size = width
        pipeline.register_modules(
            text_encoder=type(pipeline.text_encoder)(words), unet=tiny_models._unet(cross_attention_dim=width)
        )
    pipeline.save_pretrained(tmp_path / "model")
    with pytest.raises(UserError, match=sentence):
        merge(str(tmp_path / "model"), tmp_path / "single.safetensors")
    assert not (tmp_path / "single.safetensors").exists()
    merge(str(tmp_path / "model"), tmp_path / "folder")
    assert (tmp_path / "folder" / "model_index.json").is_file()


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
@pytest.mark.parametrize("out", ["folder", "single.safetensors"])
def test_numbers_beyond_half_precision(part: str, out: str, tmp_path: Path) -> None:
    pipeline = tiny_models.sd_pipeline()
    largest: Tensor = next(iter(getattr(pipeline, part).parameters())).data
    largest.view(-1)[0] = 1e5
    pipeline.save_pretrained(tmp_path / "model")
    with pytest.raises(UserError, match=r"beyond the range of float16"):
        merge(str(tmp_path / "model"), tmp_path / out, "fp16")
    assert not (tmp_path / out).exists()
