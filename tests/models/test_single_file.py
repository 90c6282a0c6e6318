"""Single checkpoint files: converted with the configurations beside them, or one sentence why not."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny_models
import torch
from safetensors.torch import load_file, save_file
from single_files import save_single_file
from transformers import CLIPTextModelWithProjection

from ddecli.core.errors import UserError
from ddecli.models.load import load_model, load_pipeline
from ddecli.models.presets import resolve

Pipelines = dict[str, object]


@pytest.fixture(scope="module")
def pipelines() -> Pipelines:
    """Random pipelines; the two text encoders of SDXL are told apart by their widths."""
    sdxl = tiny_models.sdxl_pipeline()
    config = sdxl.text_encoder_2.config
    config.hidden_size = 24
    unet = tiny_models._unet(
        cross_attention_dim=16 + 24, addition_embed_type="text_time", addition_time_embed_dim=4,
        projection_class_embeddings_input_dim=8 + 6 * 4,
    )  # fmt: skip
    sdxl.register_modules(text_encoder_2=CLIPTextModelWithProjection(config), unet=unet)
    return {"sd": tiny_models.sd_pipeline(), "sdxl": sdxl}


@pytest.fixture
def make(pipelines: Pipelines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """A file of a family with configurations beside it; there is no network."""
    monkeypatch.setattr("huggingface_hub.constants.HF_ASSETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    def make(family: str, beside: str | None, **extra: torch.Tensor) -> Path:
        if beside:
            pipelines[beside].save_pretrained(tmp_path / "some model")
            for weights in (tmp_path / "some model").glob("*/*.safetensors"):
                weights.unlink()
        return save_single_file(pipelines[family], tmp_path / "some model.safetensors", **extra)

    return make


@pytest.mark.parametrize("family", ["sd", "sdxl"])
def test_a_file_gives_the_pipeline_that_it_was_written_from(
    make: Callable[..., Path], pipelines: Pipelines, family: str, tmp_path: Path
) -> None:
    file = make(family, beside=family)
    assert resolve(str(file)).family == family
    model = load_model(str(file))
    assert (model.family, model.resolution, model.latent_shape) == (family, 32, (4, 8, 8))
    for part in ("unet", "vae", "text_encoder") + (("text_encoder_2",) if family == "sdxl" else ()):
        found, expected = getattr(model.pipeline, part), getattr(pipelines[family], part)
        for name, value in expected.state_dict().items():
            torch.testing.assert_close(found.state_dict()[name], value, rtol=0, atol=0, msg=f"{part} {name}")
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.safetensors")}
    load_model(str(file))  # from what was kept
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.safetensors")} == kept
    model.save(tmp_path / "saved")
    assert load_model(str(tmp_path / "saved")).fingerprint == model.fingerprint


def test_v_prediction_is_read_from_the_file(make: Callable[..., Path]) -> None:
    pipeline = load_pipeline(str(make("sd", "sd", v_pred=torch.zeros(0), ztsnr=torch.zeros(0))))
    assert pipeline.scheduler.config.prediction_type == "v_prediction"
    assert pipeline.scheduler.alphas_cumprod[-1] < 1e-7


def test_half_precision_stays_half(make: Callable[..., Path], pipelines: Pipelines, tmp_path: Path) -> None:
    file = make("sd", "sd")
    save_file({name: value.half() for name, value in load_file(file).items()}, file)
    model = load_model(str(file))
    assert model.unet.dtype == torch.float32
    kept = next((tmp_path / "cache").rglob("diffusion_pytorch_model.safetensors"))
    assert {value.dtype for value in load_file(kept).values()} == {torch.float16}


def test_what_is_no_checkpoint_is_said(make: Callable[..., Path], tmp_path: Path) -> None:
    file = make("sdxl", beside="sd")
    with pytest.raises(UserError, match="checkpoint of sdxl, but the folder .* beside it is one of sd"):
        load_model(str(file))
    shutil.rmtree(file.with_suffix(""))
    with pytest.raises(UserError, match="put a diffusers folder of the same architecture beside it"):
        load_model(str(file))
    file.write_bytes(file.read_bytes()[:2000])
    with pytest.raises(UserError, match="no whole .safetensors file"):
        resolve(str(file))
    save_file({"unet.conv.lora_A.weight": torch.zeros(2, 2)}, file)
    with pytest.raises(UserError, match="LoRA weights, not a whole"):
        resolve(str(file))
    (tmp_path / "model.ckpt").write_bytes(b"")
    with pytest.raises(UserError, match="may hold code"):
        resolve(str(tmp_path / "model.ckpt"))
