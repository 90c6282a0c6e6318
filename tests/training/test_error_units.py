"""Models that predict v or the clean latent: errors in noise and in native units, against the public scripts' step."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import yaml
from diffusers import DDPMScheduler, UNet2DConditionModel

from ddecli.core.errors import UserError
from ddecli.objectives.registry import LOSSES
from ddecli.training.loop import train
from ddecli.training.settings import TrainSettings, resolve_settings
from ddecli.training.trainer import Trainer

Make = Callable[..., TrainSettings]
NOISE = ("dde", "dde-single", "dde-step")
LOG_SIGMOID = ["uniform", "discounted", *NOISE]


@pytest.fixture(scope="module")
def models(sd_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """The model of `sd_folder` under another schedule; its weights say something else then, which is as good."""
    root = tmp_path_factory.mktemp("predicting")

    def make(kind: str, zero_snr: bool = False) -> Path:
        folder = root / f"{kind}-{zero_snr}"
        if not folder.exists():
            shutil.copytree(sd_folder, folder)
            DDPMScheduler(
                beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", prediction_type=kind,
                rescale_betas_zero_snr=zero_snr,
            ).save_pretrained(folder / "scheduler")  # fmt: skip
            index = json.loads((folder / "model_index.json").read_text())
            index["scheduler"] = ["diffusers", "DDPMScheduler"]
            (folder / "model_index.json").write_text(json.dumps(index))
        return folder

    return make


def metrics(run: TrainSettings) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (Path(run.out) / "metrics.jsonl").read_text().splitlines()]


def test_each_loss_has_its_unit_and_says_so(settings: Make) -> None:
    for loss in LOSSES:
        assert settings(loss=loss).error == ("noise" if loss in NOISE else "native")
    assert settings(loss="sft", error="noise").error == "noise"


@pytest.mark.parametrize("loss", ["sft", *LOG_SIGMOID])
def test_for_a_model_that_predicts_noise_the_units_are_one(settings: Make, loss: str, tmp_path: Path) -> None:
    runs = [
        settings(loss=loss, steps=3, error=unit, out=str(tmp_path / unit)) for unit in ("noise", "native")
    ]
    for run in runs:
        train(run)
    measured = ("pairs_per_second", "memory_mb")
    noise, native = ([line | dict.fromkeys(measured) for line in metrics(run)] for run in runs)
    assert noise == native


@pytest.mark.parametrize("unit", ["noise", "native"])
@pytest.mark.parametrize("loss", LOG_SIGMOID)
@pytest.mark.parametrize("kind", ["v_prediction", "sample"])
def test_first_loss_is_ln_2(
    models: Callable[..., Path], settings: Make, kind: str, loss: str, unit: str
) -> None:
    run = settings(model=str(models(kind)), loss=loss, steps=1, error=unit)
    train(run)
    first = metrics(run)[0]
    assert first["loss"] == pytest.approx(math.log(2), abs=1e-7)
    assert first["logit"] == 0 and first["margin"] == 0 and first["error_policy_w"] > 0
    assert yaml.safe_load((Path(run.out) / "run.yaml").read_text())["error"] == unit


@pytest.mark.parametrize("zero_snr", [False, True])
@pytest.mark.parametrize("loss", ["sft", "uniform"])
def test_a_step_on_a_v_model_is_the_public_script_s(
    models: Callable[..., Path], settings: Make, loss: str, zero_snr: bool
) -> None:
    """diffusers' train_diffusion_dpo_sdxl.py: velocity targets, mean over C, H, W, -0.5 beta; sft is its mse_loss."""
    folder = models("v_prediction", zero_snr)
    trainer = Trainer(settings(model=str(folder), loss=loss, segment="0.9-1", micro_batch_size=8))
    batch = trainer.batches(trainer.micro_batches(0)[0])
    unet = UNet2DConditionModel.from_pretrained(folder, subfolder="unet")
    scheduler = DDPMScheduler.from_pretrained(folder, subfolder="scheduler")
    policy = UNet2DConditionModel.from_pretrained(folder, subfolder="unet")
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():  # a policy that has moved
        moved = {
            name: 0.02 * torch.randn(value.shape, generator=generator)
            for name, value in policy.named_parameters()
        }
        for name, value in policy.named_parameters():
            value += moved[name]
        for name, value in trainer.model.pipeline.unet.named_parameters():
            value += moved[name]

    noisy = scheduler.add_noise(batch.latents, batch.eps, batch.t)
    target = scheduler.get_velocity(batch.latents, batch.eps, batch.t)
    errors = {}
    for name, model in (("policy", policy), ("reference", unet)):
        predicted = model(noisy, batch.t, batch.conditioning["prompt_embeds"]).sample
        errors[name] = F.mse_loss(predicted.float(), target.float(), reduction="none").mean((1, 2, 3))
    w, l = errors["policy"].chunk(2)
    ref_w, ref_l = errors["reference"].chunk(2)
    inside = -0.5 * 50.0 * ((w - l) - (ref_w - ref_l))
    expected = w.mean() if loss == "sft" else -F.logsigmoid(inside).mean()
    gradient = torch.autograd.grad(expected, policy.conv_out.weight)[0]
    found = own_errors(trainer, batch)
    trainer.model = trainer.model.with_errors_of("noise")
    if trainer.reference is not None:  # fine-tuning has none
        trainer.reference = trainer.reference.with_errors_of("noise")
    in_noise = own_errors(trainer, batch)
    assert (in_noise.policy_w < 0.03 * found.policy_w).all()  # what the public script's step is not
    mean_loss = trainer.objective(found).loss.mean()
    torch.testing.assert_close(mean_loss, expected, rtol=1e-4, atol=1e-6)
    own = torch.autograd.grad(mean_loss, trainer.model.pipeline.unet.conv_out.weight)[0]
    torch.testing.assert_close(own, gradient, rtol=1e-3, atol=1e-5 * float(gradient.abs().max()))


def own_errors(trainer: Trainer, batch: Any) -> Any:
    from ddecli.training.errors import pair_errors

    return pair_errors(trainer.model, trainer.reference, batch, trainer.autocast(), trainer.objective)


@pytest.mark.parametrize("kind", ["v_prediction", "sample"])
@pytest.mark.parametrize("loss", ["dde", "dde-single", "dde-step"])
def test_dde_is_the_same_loss_in_both_units(
    models: Callable[..., Path], settings: Make, tmp_path: Path, loss: str, kind: str
) -> None:
    seen = {}
    for unit in ("noise", "native"):
        run = settings(model=str(models(kind)), loss=loss, steps=4, error=unit, out=str(tmp_path / unit))
        train(run)
        seen[unit] = metrics(run)
    for left, right in zip(seen["noise"], seen["native"], strict=True):
        for name in ("loss", "logit", "gradient_norm"):
            assert left[name] == pytest.approx(right[name], rel=2e-3, abs=1e-4), name
    maps = [np.load(tmp_path / unit / "credit.npz") for unit in ("noise", "native")]  # in noise units both
    for name in maps[0].files:
        if not name.startswith("table"):
            np.testing.assert_allclose(maps[0][name], maps[1][name], rtol=2e-3, atol=1e-5, err_msg=name)
    assert maps[0]["gradient_weight_sum"].any()
    assert seen["noise"][-1]["logit"] != 0
    assert seen["noise"][-1]["error_policy_w"] != pytest.approx(
        seen["native"][-1]["error_policy_w"], rel=0.01
    )


def test_zero_snr_says_what_to_give(models: Callable[..., Path], settings: Make) -> None:
    model = str(models("v_prediction", zero_snr=True))
    with pytest.raises(UserError, match="zero SNR.* give --error native"):
        train(settings(model=model, loss="dde", steps=1))
    run = settings(model=model, loss="dde", steps=3, error="native", segment="0.99-1")
    assert train(run).first_loss == pytest.approx(math.log(2), abs=1e-7)
    assert all(math.isfinite(line["gradient_norm"]) for line in metrics(run))
    credit = np.load(Path(run.out) / "credit.npz")
    assert np.isfinite(credit["gradient_weight_sum"]).all()
    assert 0 < credit["count"].sum() < 3 * 8  # of ten timesteps; the last one has no error of the noise


def test_held_out_pairs_are_in_noise_units_whatever_the_run(
    models: Callable[..., Path], settings: Make, sd_store: Path, tmp_path: Path
) -> None:
    found = []
    for unit in ("noise", "native"):
        run = settings(
            model=str(models("v_prediction")), loss="dde", error=unit, steps=2, holdout=str(sd_store),
            out=str(tmp_path / unit),
        )  # fmt: skip
        train(run)
        found.append(json.loads((Path(run.out) / "holdout.jsonl").read_text()))
    assert found[0]["holdout_margin"] == pytest.approx(found[1]["holdout_margin"], rel=2e-2)


def test_a_run_that_began_before_there_were_units_has_errors_of_the_noise(
    models: Callable[..., Path], settings: Make, tmp_path: Path
) -> None:
    asked = {"model": str(models("v_prediction")), "loss": "sft"}
    train(settings(**asked, steps=1, error="noise"))
    file = tmp_path / "run" / "run.yaml"
    written = yaml.safe_load(file.read_text())
    del written["error"]
    file.write_text(yaml.safe_dump(written))
    assert resolve_settings({}, file).error == "noise"
    assert settings(**asked).error == "native"
    train(settings(**asked, steps=2), resume=True)
    assert yaml.safe_load(file.read_text())["error"] == "noise"
