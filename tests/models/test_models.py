"""Models: presets, what they predict against stock diffusers, adapters, the reference, saving."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import shutil
from pathlib import Path

import pytest
import tiny_models
import torch
from diffusers import StableDiffusionPipeline
from diffusers.utils import logging as diffusers_logging
from hub_cache import make_hub

from ddecli.core.errors import UserError
from ddecli.models.base import DiffusionModel, hold_frozen_in
from ddecli.models.digests import fingerprint
from ddecli.models.load import load_for_sampling, load_model
from ddecli.models.presets import presets, resolve
from ddecli.models.schedulers import load_schedule


@pytest.fixture(scope="module", params=["sd", "sdxl"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp(request.param) / f"random-{request.param}"
    getattr(tiny_models, f"{request.param}_pipeline")().save_pretrained(path)
    return path


def inputs(model: object, count: int = 2) -> tuple:
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(count, *model.latent_shape, generator=generator)
    sizes = torch.tensor([[32, 32, 0, 0, 32, 32]]).repeat(count, 1)
    return latents, torch.tensor([10, 900])[:count], sizes


def test_family_resolution_and_latents_are_read_from_the_folder(folder: Path) -> None:
    model = load_model(str(folder))
    assert model.family == folder.name.removeprefix("random-")
    assert model.resolution == 32
    assert model.latent_shape == (4, 8, 8)
    assert resolve(str(folder)).is_small and not resolve(str(folder)).is_tiny


def test_the_schedule_is_read_without_weights(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "scheduler").mkdir()
    for name in ("model_index.json", "scheduler/scheduler_config.json"):
        (tmp_path / name).write_text((folder / name).read_text())
    schedule = load_schedule(str(tmp_path))
    torch.testing.assert_close(schedule.alphas_cumprod, load_model(str(folder)).schedule.alphas_cumprod)
    (tmp_path / "scheduler" / "scheduler_config.json").write_text('{"_class_name": "NoScheduler"}')
    with pytest.raises(UserError, match="NoScheduler, which diffusers does not know"):
        load_schedule(str(tmp_path))
    (tmp_path / "scheduler" / "scheduler_config.json").write_text(
        '{"_class_name": "FlowMatchEulerDiscreteScheduler"}'
    )
    with pytest.raises(UserError, match="has no alphas_cumprod"):
        load_schedule(str(tmp_path))


def test_prompts_with_embeddings_of_several_vectors_are_converted_as_stock_does(folder: Path) -> None:
    pipeline = load_for_sampling(str(folder)).pipeline
    stock = type(pipeline).maybe_convert_prompt
    prompts = ["a red circle", "a <cat> with a <dog>", ""]
    tokenizer = pipeline.tokenizer
    for tokens, changes in ([], False), (["<dog>", "<cat>"], False), (["<cat>_1", "<cat>_2"], True):
        tokenizer.add_tokens(tokens)
        expected = stock(pipeline, prompts, tokenizer)
        assert pipeline.maybe_convert_prompt(prompts, tokenizer) == expected
        assert (expected != prompts) == changes


def test_predictions_are_those_of_the_stock_pipeline(folder: Path) -> None:
    """Conditioning and U-Net call as the pipeline's own: one DDIM step from the same latents agrees."""
    from diffusers import DDIMScheduler

    model = load_model(str(folder))
    pipeline = load_for_sampling(str(folder)).pipeline
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config)
    latents, _, sizes = inputs(model, 1)
    seen = {}

    def keep(module: object, args: tuple, output: object) -> None:
        seen["t"], seen["noise"] = args[1], output[0]

    pipeline.unet.register_forward_hook(keep)
    pipeline("a red circle", latents=latents, num_inference_steps=1, guidance_scale=1.0, height=32, width=32)
    t = torch.as_tensor(seen["t"]).reshape(1)
    predicted = model.predict(latents, t, model.encode_prompts(["a red circle"]), sizes)
    torch.testing.assert_close(predicted, seen["noise"], rtol=1e-5, atol=1e-5)


def test_encoding_pictures_is_the_scaled_mean(folder: Path) -> None:
    model = load_model(str(folder))
    pixels = torch.rand(2, 3, 32, 32) * 2 - 1
    vae = model.pipeline.vae
    expected = vae.encode(pixels).latent_dist.mean * vae.config.scaling_factor
    torch.testing.assert_close(model.encode_images(pixels), expected)


def test_adapters_off_is_the_base_and_they_come_back(folder: Path) -> None:
    model = load_model(str(folder))
    latents, t, sizes = inputs(model)
    conditioning = model.encode_prompts(["a", "b"])
    with torch.no_grad():
        base = model.predict(latents, t, conditioning, sizes)
        model.add_lora(2, seed=0)
        for name, parameter in model.trainable().items():
            assert "lora" in name
            parameter += 0.1
        changed = model.predict(latents, t, conditioning, sizes)
        with pytest.raises(RuntimeError, match="boom"), model.as_reference():
            torch.testing.assert_close(model.predict(latents, t, conditioning, sizes), base)
            raise RuntimeError("boom")
        torch.testing.assert_close(model.predict(latents, t, conditioning, sizes), changed)
    assert (changed - base).abs().max() > 1e-4
    assert model.reference(torch.float32).unet is model.pipeline.unet


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_reference_and_policy_agree_to_the_last_bit(folder: Path, dtype: torch.dtype) -> None:
    """In half precision too: errors differ by nothing while the weights do not."""
    model = load_model(str(folder))
    reference = model.reference(dtype)
    latents, t, sizes = inputs(model)
    conditioning = model.encode_prompts(["a", "b"])
    with torch.no_grad(), torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        policy = model.predict(latents, t, conditioning, sizes)
        assert torch.equal(policy, reference.predict(latents, t, conditioning, sizes))
    if dtype == torch.bfloat16:
        assert reference.unet.conv_in.weight.dtype == dtype
        assert model.unet.conv_in.weight.dtype == torch.float32


@pytest.mark.parametrize("adapters", [True, False])
def test_frozen_matrices_held_in_half_precision_change_no_bit(folder: Path, adapters: bool) -> None:
    model = load_model(str(folder))
    model.add_lora(2, seed=0)
    latents, t, sizes = inputs(model)
    conditioning = model.encode_prompts(["a", "b"])

    def predicted() -> torch.Tensor:
        with contextlib.nullcontext() if adapters else model.as_reference():
            return model.predict(latents, t, conditioning, sizes)

    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        for parameter in model.trainable().values():
            parameter += 0.1
        before = predicted()
        hold_frozen_in(torch.bfloat16, model.unet)
        assert torch.equal(predicted(), before)
    assert {value.dtype for value in model.trainable().values()} == {torch.float32}
    assert model.unet.conv_in.weight.dtype == torch.bfloat16


def test_saved_models_keep_the_fingerprint(folder: Path, tmp_path: Path) -> None:
    model = load_model(str(folder))
    model.save(tmp_path / "copy")
    assert fingerprint(tmp_path / "copy") == model.fingerprint
    other = tiny_models.sd_pipeline(seed=9)
    other.save_pretrained(tmp_path / "other")
    assert fingerprint(tmp_path / "other") != model.fingerprint


def test_the_device_is_that_of_the_encoders_alone(folder: Path) -> None:
    model = load_model(str(folder), device="meta")
    assert model.pipeline.vae.device.type == model.pipeline.text_encoder.device.type == "meta"
    assert model.device.type == "cpu"


def test_presets_are_complete() -> None:
    for name, entry in presets().items():
        assert resolve(name).name == name
        assert {"source", "family", "resolution"} <= set(entry)


def test_sdxl_encodes_in_float16_with_an_autoencoder_that_does_not_overflow(
    sdxl_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model's own stays in float32 unless a repaired one is named; that one has to be at hand."""
    folder = Path(shutil.copytree(sdxl_folder, tmp_path / "overflows"))
    config = json.loads((folder / "vae" / "config.json").read_text())
    (folder / "vae" / "config.json").write_text(json.dumps(config | {"force_upcast": True}))
    own = load_model(str(folder), dtype=torch.float16)
    assert own.pipeline.vae.dtype == torch.float32 and own.unet.dtype == torch.float16
    assert own.encode_images(torch.rand(1, 3, 32, 32)).dtype == torch.float32
    preset = {"source": str(folder), "family": "sdxl", "resolution": 32, "float16_vae": "someone/vae"}
    monkeypatch.setattr("ddecli.models.presets.presets", lambda: {"some-xl": preset})
    add = make_hub(tmp_path / "hub", monkeypatch)
    with pytest.raises(UserError, match="someone/vae.*use --precision float32"):
        load_model("some-xl", dtype=torch.float16)
    add("someone/vae", sdxl_folder / "vae")
    repaired = load_model("some-xl", dtype=torch.float16)
    assert repaired.pipeline.vae.dtype == torch.float16
    assert load_model("some-xl").pipeline.vae.dtype == torch.float32


def test_a_unet_of_another_family_than_the_folder_says(
    sd_folder: Path, sdxl_folder: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(sd_folder, tmp_path / "mixed"))
    shutil.rmtree(folder / "unet")
    shutil.copytree(sdxl_folder / "unet", folder / "unet")
    with pytest.raises(UserError, match="StableDiffusionPipeline, but its U-Net is one of sdxl"):
        load_model(str(folder))


def _lora_run(folder: Path, base: str, trained: DiffusionModel) -> Path:
    trained.save(folder / "model")
    (folder / "run.yaml").write_text(f"model: {base}\n")
    return folder


def test_lora_weights_of_another_family_are_said(sd_folder: Path, sdxl_folder: Path, tmp_path: Path) -> None:
    model = load_model(str(sdxl_folder))
    model.add_lora(2, seed=0)
    run = _lora_run(tmp_path / "run", str(sd_folder), model)
    with pytest.raises(UserError, match="do not fit .* trained on another model"):
        load_for_sampling(str(run))


def test_lora_on_top_of_lora_keeps_both(sd_folder: Path, tmp_path: Path) -> None:
    base = str(sd_folder)
    for name in ("first", "second"):
        model = load_model(base, encoders=False)
        model.add_lora(2, seed=0)
        for parameter in model.trainable().values():
            parameter.data += 0.1
        base = str(_lora_run(tmp_path / name, base, model))
    latents, t, sizes = inputs(model)
    conditioning = {"prompt_embeds": torch.ones(2, 16, 16)}
    with torch.no_grad():
        expected = model.predict(latents, t, conditioning, sizes)
        sampled = load_for_sampling(base).pipeline.unet(latents, t, conditioning["prompt_embeds"]).sample
        continued = load_model(base, encoders=False).predict(latents, t, conditioning, sizes)
    torch.testing.assert_close(sampled, expected)
    torch.testing.assert_close(continued, expected)


def test_saving_takes_the_weights_it_is_given(folder: Path, tmp_path: Path) -> None:
    model = load_model(str(folder))
    given = {name: value.detach() + 1 for name, value in model.trainable().items()}
    model.save(tmp_path / "saved", given)
    saved = load_model(str(tmp_path / "saved"))
    assert all(torch.equal(value, given[name]) for name, value in saved.trainable().items())


def test_unknown_models_are_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Unknown model"):
        resolve("no-such-model")
    with pytest.raises(UserError, match="holds no model"):
        resolve(str(tmp_path))
    (tmp_path / "model_index.json").write_text('{"_class_name": "FluxPipeline"}')
    with pytest.raises(UserError, match="FluxPipeline"):
        resolve(str(tmp_path))


def test_the_safety_checker_is_left_out(sd_folder: Path, tmp_path: Path) -> None:
    base = tmp_path / "base"
    shutil.copytree(sd_folder, base)
    index = json.loads((base / "model_index.json").read_text())
    index |= {
        "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
        "requires_safety_checker": True,
    }
    (base / "model_index.json").write_text(json.dumps(index))
    model = load_model(str(base))  # as it comes from the hub: named, but not there
    (base / "safety_checker").mkdir()
    (base / "safety_checker" / "model.safetensors").touch()
    model.save(tmp_path / "saved")
    assert not (tmp_path / "saved" / "safety_checker").exists()

    said = io.StringIO()
    handler = logging.StreamHandler(said)
    diffusers_logging.add_handler(handler)
    verbosity = diffusers_logging.get_verbosity()
    diffusers_logging.set_verbosity_warning()
    try:
        assert StableDiffusionPipeline.from_pretrained(tmp_path / "saved").safety_checker is None
        assert "safety" not in said.getvalue()
        StableDiffusionPipeline.from_pretrained(base, safety_checker=None)
        assert "disabled the safety checker" in said.getvalue()
    finally:
        diffusers_logging.set_verbosity(verbosity)
        diffusers_logging.remove_handler(handler)


def test_a_damaged_model_is_said_in_a_sentence(folder: Path, tmp_path: Path) -> None:
    model = load_model(str(folder))
    model.save(tmp_path / "copy")
    weights = next((tmp_path / "copy" / "vae").glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(UserError, match="cannot be loaded"):
        load_model(str(tmp_path / "copy"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no settings"),
        ("- a\n", "holds no settings"),
        ("loss: dde\n", "is damaged: it does not say what was trained"),
        ("model: [\n", "cannot be read as YAML: line 2"),
    ],
)
def test_a_damaged_run_is_named(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "run.yaml").write_text(text)
    with pytest.raises(UserError, match=rf"run\.yaml {said}"):
        resolve(str(tmp_path))
