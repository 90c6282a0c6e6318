"""Models of schedules that are not discrete, or made for few steps: refused in one sentence, or sampled as they are."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import pytest
import tiny_models
from cli_checks import assert_one_sentence, contents

Run = Callable[..., Any]
SAMPLE = ("--prompt", "a", "--images-per-prompt", 1, "--out", "out")


def with_scheduler(model: Path, kind: str, **settings: Any) -> Path:
    """A copy of a model that says another scheduler."""
    folder = Path(shutil.copytree(model, "model"))
    getattr(diffusers, kind)(**settings).save_pretrained(folder / "scheduler")
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | {"scheduler": ["diffusers", kind]}))
    return folder


@pytest.mark.parametrize(
    ("kind", "settings", "said"),
    [
        ("EDMEulerScheduler", {}, "EDMEulerScheduler has no alphas_cumprod"),
        ("EDMDPMSolverMultistepScheduler", {}, "EDMDPMSolverMultistepScheduler has no alphas_cumprod"),
        ("FlowMatchEulerDiscreteScheduler", {}, "FlowMatchEulerDiscreteScheduler has no alphas_cumprod"),
        ("CMStochasticIterativeScheduler", {}, "CMStochasticIterativeScheduler has no alphas_cumprod"),
        (
            "DPMSolverMultistepScheduler",
            {"prediction_type": "flow_prediction", "use_flow_sigmas": True},
            "set to continuous timesteps or to a flow",
        ),
        (
            "EulerDiscreteScheduler",
            {"timestep_type": "continuous", "prediction_type": "v_prediction", "sigma_max": 120.0},
            "set to continuous timesteps or to a flow",
        ),
    ],
)
def test_models_of_no_discrete_schedule(
    ddecli: Run, sd_folder: Path, sd_store: Path, kind: str, settings: dict[str, Any], said: str
) -> None:
    model = with_scheduler(sd_folder, kind, **settings)
    for command in (
        ("sample", model, *SAMPLE),
        ("train", "--model", model, "--data", sd_store, "--device", "cpu", "--steps", 1, "--out", "out"),
        ("prepare", "--model", model, "--data", "world", "--limit", 2, "--out", "out"),
    ):
        assert_one_sentence(ddecli(*command), "The model in model cannot be used", said, "discrete")
        assert not contents("out")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"_class_name": "NoSuchScheduler"}, "NoSuchScheduler, which diffusers does not know"),
        ({"_class_name": "UNet2DModel"}, "UNet2DModel, which diffusers does not know"),
        ({"_class_name": "DDIMScheduler", "beta_schedule": "wavy"}, "is damaged: wavy"),
        ({"_class_name": "DDIMScheduler", "beta_start": "x"}, "is damaged: "),
        ([], "which diffusers does not know"),
        (None, "its folder scheduler/ is missing, or lacks its configuration"),
    ],
)
def test_damaged_schedulers(ddecli: Run, sd_folder: Path, values: Any, said: str) -> None:
    model = with_scheduler(sd_folder, "DDIMScheduler")
    file = model / "scheduler" / "scheduler_config.json"
    file.unlink() if values is None else file.write_text(json.dumps(values))
    assert_one_sentence(ddecli("sample", model, *SAMPLE), said)


def test_a_turbo_model_is_sampled_and_trained_and_that_is_said(
    ddecli: Run, sd_folder: Path, sd_store: Path
) -> None:
    turbo = tiny_models.SCHEDULE | {"timestep_spacing": "trailing"}
    model = with_scheduler(sd_folder, "EulerAncestralDiscreteScheduler", **turbo)
    typed = ddecli("sample", model, *SAMPLE)
    assert typed.code == 0, typed.error
    assert "model was made for few steps" in typed.error
    assert "4 steps of EulerAncestralDiscreteScheduler (the model's own), guidance 0." in typed.error
    asked = ddecli("sample", model, *SAMPLE[:-1], "asked", "--steps", 2, "--guidance-scale", 1.5)
    assert asked.code == 0, asked.error
    protocol = json.loads(Path("asked/protocol.json").read_text())
    assert (protocol["steps"], protocol["guidance_scale"]) == (2, 1.5)
    train = (
        "train",
        "--model",
        model,
        "--data",
        sd_store,
        "--device",
        "cpu",
        "--steps",
        1,
        "--batch-size",
        2,
    )
    typed = ddecli(*train, "--out", "run")
    assert typed.code == 0, typed.error
    assert "was made for few steps" in typed.error
    typed = ddecli("sample", "run", *SAMPLE[:-1], "trained")
    assert "EulerAncestral" in json.loads(Path("trained/protocol.json").read_text())["sampler"]


def test_a_model_that_takes_guidance_as_an_input_is_not_trained(
    ddecli: Run, sd_folder: Path, sd_store: Path
) -> None:
    model = with_scheduler(sd_folder, "LCMScheduler")
    tiny_models._unet(cross_attention_dim=16, time_cond_proj_dim=8).save_pretrained(model / "unet")
    train = ("train", "--model", model, "--data", sd_store, "--device", "cpu", "--steps", 1, "--out", "out")
    assert_one_sentence(ddecli(*train), "takes the guidance as an input", "distilled from")
    assert not contents("out")
    assert ddecli("sample", model, *SAMPLE).code == 0
    assert_one_sentence(
        ddecli("sample", model, *SAMPLE[:-1], "more", "--steps", 60), "--steps 60: ", "at most 50 steps"
    )
