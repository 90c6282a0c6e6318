"""Every model is sampled as its authors do: DDIM on its own schedule, or its own scheduler in few steps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import tiny_models
import torch
from diffusers import DDIMScheduler, DiffusionPipeline
from PIL import Image

from ddecli.core.errors import UserError
from ddecli.core.protocol import image_seed
from ddecli.models.few_steps import few_steps_of
from ddecli.models.load import load_for_sampling
from ddecli.sampling.folder import list_tasks
from ddecli.sampling.generate import SamplingSettings, sample_images
from ddecli.sampling.prompts import make_prompt_set
from ddecli.sampling.samplers import last_timestep, sampler_of

SCHEDULE = tiny_models.SCHEDULE
TURBO = SCHEDULE | {"timestep_spacing": "trailing"}
PROMPTS = make_prompt_set("test", ["a red circle", "a blue star"])


def guided_unet(pipeline: Any) -> Any:
    """A random U-Net that takes the guidance as an input, in the place of a pipeline's."""
    config = {name: value for name, value in pipeline.unet.config.items() if not name.startswith("_")}
    torch.manual_seed(1)
    return type(pipeline.unet)(**config | {"time_cond_proj_dim": 8})


def few_step_model(family: str, scheduler: str, folder: Path, guided: bool = False) -> Path:
    """A random model with a scheduler for few steps, saved; its U-Net may take the guidance as an input."""
    pipeline: Any = getattr(tiny_models, f"{family}_pipeline")()
    if guided:
        pipeline.register_modules(unet=guided_unet(pipeline))
    settings = TURBO if scheduler.startswith("Euler") else SCHEDULE
    pipeline.scheduler = getattr(diffusers, scheduler)(**settings)
    pipeline.save_pretrained(folder)
    return folder


@pytest.mark.two_threads
@pytest.mark.parametrize("family", ["sd", "sdxl"])
@pytest.mark.parametrize(
    ("scheduler", "guided", "guidance"),
    [
        ("LCMScheduler", False, 1.0),
        ("LCMScheduler", True, 8.0),
        ("TCDScheduler", False, 1.0),
        ("EulerDiscreteScheduler", False, 0.0),
        ("EulerAncestralDiscreteScheduler", False, 0.0),
    ],
)
def test_models_of_few_steps_are_sampled_as_stock_diffusers_does(
    family: str,
    scheduler: str,
    guided: bool,
    guidance: float,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = few_step_model(family, scheduler, tmp_path / "model", guided)
    settings = SamplingSettings(images_per_prompt=2, seed=3)
    sample_images(load_for_sampling(str(model)), PROMPTS, settings, tmp_path / "out")
    assert f"it is sampled in 4 steps of {scheduler}" in " ".join(capsys.readouterr().err.split())
    protocol = json.loads((tmp_path / "out" / "protocol.json").read_text())
    assert (protocol["steps"], protocol["guidance_scale"]) == (4, guidance)
    assert protocol["sampler"] == f"{scheduler} (the model's own)"
    assert ("takes the guidance" if guided else scheduler) in protocol["sampler_reason"]
    stock = DiffusionPipeline.from_pretrained(model)
    stock.set_progress_bar_config(disable=True)
    for task in list_tasks(PROMPTS.prompts, 2):
        generator = torch.Generator().manual_seed(image_seed(task.prompt, task.image_index, 3))
        made = stock(task.prompt, generator=generator, num_inference_steps=4, guidance_scale=guidance)
        ours = np.array(Image.open(tmp_path / "out" / task.file_name)).astype(int)
        assert np.abs(ours - np.array(made.images[0])).max() <= 1, task.file_name


def test_the_input_for_guidance_is_used(tmp_path: Path) -> None:
    model = load_for_sampling(str(few_step_model("sd", "LCMScheduler", tmp_path / "model", guided=True)))
    for scale in (8.0, 2.0):
        settings = SamplingSettings(images_per_prompt=1, guidance_scale=scale)
        sample_images(model, PROMPTS, settings, tmp_path / f"out-{scale}")
    left, right = (np.array(Image.open(next((tmp_path / f"out-{s}").glob("*-00.png")))) for s in (8.0, 2.0))
    assert (left != right).any()


def test_ordinary_models_keep_ddim_and_their_protocol(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tiny_models.model_of(tiny_models.sd_pipeline())
    sample_images(model, PROMPTS, SamplingSettings(1, steps=1), tmp_path)
    protocol = json.loads((tmp_path / "protocol.json").read_text())
    assert (protocol["sampler"], protocol["guidance_scale"]) == ("DDIM (eta 0)", 7.5)
    assert "sampler_reason" not in protocol and "few steps" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("scheduler", "settings"),
    [
        ("EulerDiscreteScheduler", SCHEDULE),
        (
            "EulerDiscreteScheduler",
            TURBO | {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True},
        ),
        ("EulerAncestralDiscreteScheduler", SCHEDULE | {"timestep_spacing": "leading"}),
        ("DDIMScheduler", TURBO),
        ("DPMSolverMultistepScheduler", SCHEDULE | {"use_karras_sigmas": True}),
        ("UniPCMultistepScheduler", SCHEDULE),
        ("HeunDiscreteScheduler", {**SCHEDULE, "beta_schedule": "linear"}),
        ("DDPMScheduler", {"trained_betas": [0.01] * 50}),
    ],
)
def test_any_discrete_schedule_is_sampled_by_ddim_on_the_same_betas(
    scheduler: str, settings: dict[str, Any]
) -> None:
    pipeline = tiny_models.sd_pipeline()
    pipeline.scheduler = getattr(diffusers, scheduler)(**settings)
    assert few_steps_of(pipeline) is None
    sampler = sampler_of(tiny_models.model_of(pipeline), steps=3)
    assert isinstance(sampler.scheduler, DDIMScheduler) and sampler.reason is None
    torch.testing.assert_close(
        sampler.scheduler.alphas_cumprod, pipeline.scheduler.alphas_cumprod, atol=1e-6, rtol=0
    )
    assert sampler.scheduler.config.prediction_type == settings.get("prediction_type", "epsilon")


def test_a_schedule_that_ddim_does_not_have_is_not_replaced_by_another() -> None:
    pipeline = tiny_models.sd_pipeline()
    pipeline.scheduler = diffusers.UnCLIPScheduler()  # of cosines, and its configuration names no betas
    with pytest.raises(UserError, match="noise schedule of UnCLIPScheduler is none that DDIM has"):
        sampler_of(tiny_models.model_of(pipeline))


def test_steps_that_a_sampler_does_not_take() -> None:
    pipeline = tiny_models.sd_pipeline()
    with pytest.raises(UserError, match="--steps 1001: .* give at most 999 steps"):
        sampler_of(tiny_models.model_of(pipeline), steps=1001)
    pipeline.scheduler = diffusers.LCMScheduler(**SCHEDULE)
    sampler_of(tiny_models.model_of(pipeline), steps=50)
    with pytest.raises(UserError, match="--steps 51: .* give at most 50 steps"):
        sampler_of(tiny_models.model_of(pipeline), steps=51)


def test_guidance_as_an_input_needs_a_scheduler_for_it() -> None:
    pipeline = tiny_models.sd_pipeline()
    pipeline.register_modules(unet=guided_unet(pipeline))
    with pytest.raises(UserError, match="the scheduler is PNDMScheduler: put .* LCMScheduler"):
        sampler_of(tiny_models.model_of(pipeline))


@pytest.mark.parametrize(("family", "own"), [("sd", "leading"), ("sdxl", "trailing")])
@pytest.mark.parametrize("spacing", ["leading", "trailing"])
def test_timesteps_are_spaced_as_stock_ddim_spaces_them(
    family: str, own: str, spacing: Any, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    pipeline: Any = getattr(tiny_models, f"{family}_pipeline")()
    pipeline.scheduler = DDIMScheduler(**SCHEDULE | {"timestep_spacing": own, "clip_sample": False})
    pipeline.save_pretrained(model)
    stock: Any = DiffusionPipeline.from_pretrained(model)
    stock.scheduler = DDIMScheduler(**SCHEDULE | {"timestep_spacing": spacing, "clip_sample": False})
    stock.set_progress_bar_config(disable=True)
    sample_images(
        load_for_sampling(str(model)),
        PROMPTS,
        SamplingSettings(1, steps=3, spacing=spacing),
        tmp_path / "out",
    )
    assert json.loads((tmp_path / "out" / "protocol.json").read_text())["spacing"] == spacing
    visited = []
    for task in list_tasks(PROMPTS.prompts, 1):
        generator = torch.Generator().manual_seed(image_seed(task.prompt, task.image_index, 0))
        made = stock(
            task.prompt,
            generator=generator,
            num_inference_steps=3,
            guidance_scale=7.5 if family == "sd" else 5.0,
            callback_on_step_end=lambda pipeline, step, t, given: visited.append(int(t)) or given,
        )
        ours = np.array(Image.open(tmp_path / "out" / task.file_name)).astype(int)
        assert np.abs(ours - np.array(made.images[0])).max() <= 1, task.file_name
    # `leading` adds the scheduler's steps_offset of 1; `trailing` begins at the last timestep and adds nothing.
    assert visited[:3] == {"leading": [667, 334, 1], "trailing": [999, 666, 332]}[spacing]


def test_the_models_own_spacing_is_kept_where_none_is_asked_for() -> None:
    pipeline = tiny_models.sd_pipeline()
    for own in ("leading", "trailing", "linspace"):
        pipeline.scheduler = DDIMScheduler(**SCHEDULE | {"timestep_spacing": own})
        sampler = sampler_of(tiny_models.model_of(pipeline))
        assert sampler.spacing == sampler.scheduler.config.timestep_spacing == own
        asked = sampler_of(tiny_models.model_of(pipeline), spacing="trailing").scheduler
        assert asked.config == sampler.scheduler.config | {"timestep_spacing": "trailing"}


@pytest.mark.parametrize("steps", [61, 103, 122, 999])
def test_trailing_steps_that_are_rounded_to_one_more(steps: int) -> None:
    pipeline = tiny_models.sd_pipeline()
    stock = DDIMScheduler(**SCHEDULE | {"timestep_spacing": "trailing"})
    stock.set_timesteps(steps)
    is_wrong = int(stock.timesteps.min()) < 0
    assert is_wrong == (steps != 999)
    if is_wrong:
        fewer = {122: 120}.get(steps, steps - 1)
        with pytest.raises(UserError, match=rf"--steps {steps}: .*timestep -1.* give {fewer} steps"):
            sampler_of(tiny_models.model_of(pipeline), steps, spacing="trailing")
        steps = fewer
    sampler_of(tiny_models.model_of(pipeline), steps, spacing="trailing").scheduler.set_timesteps(steps)
    assert sampler_of(tiny_models.model_of(pipeline), 61).spacing == "leading"


def test_a_model_of_few_steps_spaces_them_itself() -> None:
    pipeline = tiny_models.sd_pipeline()
    pipeline.scheduler = diffusers.LCMScheduler(**SCHEDULE)
    assert sampler_of(tiny_models.model_of(pipeline)).spacing is None
    with pytest.raises(UserError, match="--spacing trailing: this model was made for few steps .*leave"):
        sampler_of(tiny_models.model_of(pipeline), spacing="trailing")


@pytest.mark.parametrize(
    ("steps", "spacing", "last"), [(15, "leading", 925), (15, "trailing", 999), (50, "leading", 981)]
)
def test_the_largest_timestep_that_sampling_visits(steps: int, spacing: Any, last: int) -> None:
    """Leading steps are `T // steps` apart, from the offset of 1; trailing ones begin at the last."""
    assert last_timestep(DDIMScheduler(**SCHEDULE), steps, spacing) == last
