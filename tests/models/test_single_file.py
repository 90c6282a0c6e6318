"""Single checkpoint files: converted with the configurations beside them, or one sentence why not."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny_models
import torch
from safetensors.torch import load_file, save_file
from single_files import save_single_file

from ddecli.core.errors import UserError
from ddecli.models.load import load_for_sampling, load_model
from ddecli.models.prediction import check_prediction, said_prediction
from ddecli.models.presets import resolve
from ddecli.models.single_file import _beside

Pipelines = dict[str, object]


@pytest.fixture(scope="module")
def pipelines() -> Pipelines:
    """Random pipelines; the two text encoders of SDXL are told apart by their widths."""
    sdxl = tiny_models.told_apart(tiny_models.sdxl_pipeline())
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
    pipeline = load_for_sampling(str(make("sd", "sd", v_pred=torch.zeros(0), ztsnr=torch.zeros(0)))).pipeline
    assert pipeline.scheduler.config.prediction_type == "v_prediction"
    assert pipeline.scheduler.alphas_cumprod[-1] < 1e-7


V_YAML = "model:\n  params:\n    parameterization: v\n"
V_YAML_OF_SDXL = """model:
  target: sgm.models.diffusion.DiffusionEngine
  params:
    denoiser_config:
      target: sgm.modules.diffusionmodules.denoiser.DiscreteDenoiser
      params:
        scaling_config:
          target: sgm.modules.diffusionmodules.denoiser_scaling.VScaling
"""


def with_header(file: Path, **said: str) -> Path:
    """The same tensors, with words in the header."""
    save_file(load_file(file), file, {key.replace("_", ".", 1): word for key, word in said.items()})
    return file


@pytest.mark.parametrize("yaml", [V_YAML, V_YAML_OF_SDXL])
def test_v_prediction_is_read_from_the_configuration_beside_the_file(
    make: Callable[..., Path], yaml: str
) -> None:
    file = make("sd", "sd")
    assert load_model(str(file)).schedule.prediction_type == "epsilon"
    file.with_suffix(".yaml").write_text(yaml)  # what was kept before is not taken any longer
    model = load_model(str(file))
    assert model.schedule.prediction_type == "v_prediction"
    x0, eps, t = torch.randn(1, 4, 8, 8), torch.randn(1, 4, 8, 8), torch.tensor([300])
    signal = model.schedule.alphas_cumprod[300].sqrt().float()
    noise = (1 - model.schedule.alphas_cumprod[300]).sqrt().float()
    v = signal * eps - noise * x0
    found = model.schedule.noise_prediction(v, model.schedule.add_noise(x0, eps, t), t)
    torch.testing.assert_close(found, eps)


@pytest.mark.parametrize("word", ["v", "v_prediction", "v-prediction"])
def test_v_prediction_is_read_from_the_header(make: Callable[..., Path], word: str) -> None:
    file = with_header(make("sd", "sd"), modelspec_prediction_type=word)
    assert load_for_sampling(str(file)).pipeline.scheduler.config.prediction_type == "v_prediction"


def test_what_people_say_comes_before_tensors_and_tensors_before_the_header(
    make: Callable[..., Path],
) -> None:
    file = with_header(make("sd", "sd", v_pred=torch.zeros(0)), modelspec_prediction_type="epsilon")
    assert load_model(str(file)).schedule.prediction_type == "v_prediction"
    file.with_suffix(".yaml").write_text(V_YAML.replace("n: v", "n: eps"))
    assert load_model(str(file)).schedule.prediction_type == "epsilon"
    file.with_suffix(".yaml").write_text("learning_rate: 1.0e-5\nmodel: sd15\n")  # of another program
    assert load_model(str(file)).schedule.prediction_type == "v_prediction"


def test_a_word_for_noise_changes_nothing(make: Callable[..., Path], pipelines: Pipelines) -> None:
    scheduler = load_for_sampling(
        str(with_header(make("sd", "sd"), modelspec_prediction_type="epsilon"))
    ).pipeline.scheduler
    assert type(scheduler) is type(pipelines["sd"].scheduler)  # type: ignore[attr-defined]


def test_a_prediction_that_is_not_known_is_not_guessed(make: Callable[..., Path], tmp_path: Path) -> None:
    file = with_header(make("sd", "sd"), modelspec_prediction_type="flow")
    with pytest.raises(UserError, match=r"modelspec.prediction_type in the header of .* predicts 'flow'"):
        load_model(str(file))
    file.with_suffix(".yaml").write_text(V_YAML_OF_SDXL.replace("VScaling", "EDMScaling"))
    with pytest.raises(UserError, match=r"some model.yaml says that the model predicts 'EDMScaling'"):
        load_model(str(file))
    file = with_header(file, modelspec_prediction_type="epsilon")
    file.with_suffix(".yaml").unlink()
    settings = file.with_suffix("") / "scheduler" / "scheduler_config.json"
    settings.write_text(settings.read_text().replace('"epsilon"', '"v_prediction"'))
    with pytest.raises(UserError, match=r"predicts noise by .* and v_prediction by the scheduler in .*yaml"):
        load_model(str(file))
    sd2 = tmp_path / "sd2.safetensors"
    save_file(
        {
            "model.diffusion_model.input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight": torch.zeros(
                1, 1024
            )
        },
        sd2,
    )
    with pytest.raises(UserError, match="Stable Diffusion 2 and does not say whether it predicts noise or v"):
        check_prediction(sd2, said_prediction(sd2), "v_prediction", beside=None)
    check_prediction(sd2, said_prediction(sd2), "v_prediction", beside=tmp_path)


def without(file: Path, *beginnings: str) -> Path:
    """The file, without the tensors of some parts."""
    kept = {name: value for name, value in load_file(file).items() if not name.startswith(beginnings)}
    save_file(kept, file)
    return file


@pytest.mark.parametrize(
    ("family", "beginnings", "said"),
    [
        ("sd", ("first_stage_model.",), "no autoencoder: put"),
        ("sd", ("first_stage_model.", "cond_stage_model."), "no autoencoder and no text encoder: put"),
        ("sdxl", ("first_stage_model.", "conditioner."), "no autoencoder and no text encoder and no second"),
        ("sdxl", ("conditioner.embedders.0.",), "no text encoder: put"),
    ],
)
def test_what_a_file_lacks_is_taken_from_the_folder_beside_it(
    make: Callable[..., Path], pipelines: Pipelines, family: str, beginnings: tuple[str, ...], said: str
) -> None:
    file = without(make(family, beside=family), *beginnings)  # configurations alone
    with pytest.raises(UserError, match=said):
        load_model(str(file))
    shutil.rmtree(file.with_suffix(""))
    with pytest.raises(UserError, match=said):
        load_model(str(file))
    half = file.with_suffix("")
    pipelines[family].save_pretrained(half, variant="fp16")  # type: ignore[attr-defined]
    assert resolve(str(file)).family == family
    model = load_model(str(file))
    for part in ("unet", "vae", "text_encoder") + (("text_encoder_2",) if family == "sdxl" else ()):
        found, expected = getattr(model.pipeline, part), getattr(pipelines[family], part)
        for name, value in expected.state_dict().items():
            torch.testing.assert_close(found.state_dict()[name], value, rtol=0, atol=0, msg=f"{part} {name}")
    autoencoder = next((half / "vae").glob("*.safetensors"))
    save_file({name: value + 1 for name, value in load_file(autoencoder).items()}, autoencoder)
    taken = "first_stage_model." in beginnings
    assert (load_model(str(file)).fingerprint != model.fingerprint) == taken  # converted again


@pytest.mark.parametrize("ending", [".SAFETENSORS", ".Safetensors"])
def test_an_ending_in_capital_letters(make: Callable[..., Path], ending: str) -> None:
    file = make("sd", "sd")
    expected = load_model(str(file)).fingerprint
    assert load_model(str(file.rename(file.with_suffix(ending)))).fingerprint == expected


@pytest.mark.parametrize("family", ["sd", "sdxl"])
def test_names_with_that_of_a_dictionary_around_them(make: Callable[..., Path], family: str) -> None:
    file = make(family, family)
    expected = load_model(str(file))
    save_file({f"state_dict.{name}": value for name, value in load_file(file).items()}, file)
    model = load_model(str(file))
    assert (model.family, model.fingerprint) == (family, expected.fingerprint)
    for name, value in expected.unet.state_dict().items():
        assert torch.equal(model.unet.state_dict()[name], value)


def test_a_folder_beside_that_names_parts_it_does_not_have(make: Callable[..., Path]) -> None:
    file = make("sd", "sd")
    index = file.with_suffix("") / "model_index.json"
    more = {
        "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
        "feature_extractor": ["transformers", "CLIPImageProcessor"],
        "enhancer": ["my_module", "Enhancer"],
    }
    index.write_text(json.dumps(json.loads(index.read_text()) | more))
    load_model(str(file))


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ({"conditioner.embedders.0.model.text_projection": (2, 2)}, "SDXL's refiner"),
        ({"edm_mean": (4,), "edm_std": (4,)}, "a continuous noise schedule"),
        ({"edm_vpred.sigma_max": ()}, "a continuous noise schedule"),
        ({"model.diffusion_model.input_blocks.0.0.weight": (8, 9, 3, 3)}, "takes 9 channels instead of 4"),
    ],
)
def test_models_that_make_no_pictures_of_prompts(
    make: Callable[..., Path], tensors: dict[str, tuple[int, ...]], said: str
) -> None:
    file = make("sd", "sd")
    save_file(load_file(file) | {name: torch.zeros(shape) for name, shape in tensors.items()}, file)
    with pytest.raises(UserError, match=said):
        resolve(str(file))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("first_stage_model.encoder.conv_in.weight", "an autoencoder alone"),
        ("encoder.down_blocks.0.resnets.0.conv1.weight", "an autoencoder alone"),
        ("down_blocks.0.resnets.0.conv1.weight", "a U-Net as diffusers saves it"),
        ("lora_unet_mid_block.lora_down.weight", "LoRA weights"),
        ("model.diffusion_model.double_blocks.0.img_attn.proj.weight", "no U-Net of these families"),
    ],
)
def test_a_file_of_one_part(tmp_path: Path, name: str, said: str) -> None:
    save_file({name: torch.zeros(2, 2)}, tmp_path / "part.safetensors")
    with pytest.raises(UserError, match=f"holds {said}, not a whole"):
        resolve(str(tmp_path / "part.safetensors"))


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


def test_what_lies_beside_a_file_decides_its_conversion(sd_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(sd_folder, tmp_path / "model"))
    weights = folder / "vae" / "diffusion_pytorch_model.safetensors"

    def name(*missing: str, beside: Path | None = folder) -> str:
        return _beside(tmp_path / "model.safetensors", beside, list(missing))

    plain, with_vae = name(), name("vae")
    assert len({plain, with_vae, name(beside=None)}) == 3 and name("vae") == with_vae
    os.utime(weights, ns=(0, weights.stat().st_mtime_ns + 1000))
    assert name() == plain and name("vae") != with_vae
    (folder / "unet" / "config.json").write_text("{}")
    assert name() != plain
