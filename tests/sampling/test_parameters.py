"""What PNGs say of how they were made, as A1111 and ComfyUI read it; the rules of both are written down here again."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from ddecli.core.protocol import image_seed
from ddecli.core.seeds import starting_noise
from ddecli.models.base import DiffusionModel
from ddecli.sampling.folder import list_tasks
from ddecli.sampling.generate import SamplingSettings, initial_latents, sample_images
from ddecli.sampling.parameters import parameters_text, png_info
from ddecli.sampling.prompts import PromptSet, make_prompt_set

SETTINGS = SamplingSettings(images_per_prompt=2, steps=2, guidance_scale=4.5, seed=3)


def read_by_a1111(text: str) -> tuple[str, dict[str, str]]:
    """The prompt is what stands before `Negative prompt:`, the last line holds the settings, three at the least."""
    *lines, last = text.strip().split("\n")
    pairs = re.findall(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)', last)
    assert len(pairs) >= 3
    place = next(number for number, line in enumerate(lines) if line.startswith("Negative prompt:"))
    values = {name: json.loads(value) if value.startswith('"') else value for name, value in pairs}
    return "\n".join(lines[:place]), values


def read_by_comfyui(text: str) -> tuple[str, str]:
    """Prompt and negative prompt: before `Negative prompt:`, and from there to `Steps:`, both on a new line."""
    end = text.rindex("\nSteps:")
    middle = text.rindex("\nNegative prompt:", 0, end)
    return text[:middle].strip(), text[middle:end].removeprefix("\nNegative prompt:").strip()


def said(**changed: object) -> str:
    given = {
        "prompt": "a cat", "seed": 5, "size": (32, 48), "model": "sd15", "sampler": "DDIM (eta 0)", "steps": 2,
        "guidance_scale": 7.5, "spacing": "leading",
    }  # fmt: skip
    return parameters_text(**(given | changed))  # type: ignore[arg-type]


@pytest.mark.parametrize("prompt", ["a cat", "a red cat: 8k, (best:1.2)", "赤い丸", 'say "Steps: 3"', "é"])
def test_both_read_the_prompt(prompt: str, tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png", pnginfo=png_info(said(prompt=prompt)))
    with Image.open(tmp_path / "a.png") as image:
        text = image.text["parameters"]  # type: ignore[attr-defined]
    assert read_by_a1111(text)[0] == prompt
    assert read_by_comfyui(text) == (prompt, "")


def test_a1111_reads_the_settings() -> None:
    _, values = read_by_a1111(said(model='a "model": one, two'))
    assert values == {
        "Steps": "2", "Sampler": "DDIM", "CFG scale": "7.5", "Seed": "5", "Size": "32x48",
        "Model": 'a "model": one, two', "RNG": "CPU", "Timestep spacing": "leading",
    }  # fmt: skip
    assert read_by_a1111(said(sampler="LCMScheduler (the model's own)", spacing=None))[1][
        "Sampler"
    ].startswith("LCM")


def test_a_sample_says_how_each_of_its_images_was_made(
    sd_model: DiffusionModel, prompts: PromptSet, tmp_path: Path
) -> None:
    sample_images(sd_model, prompts, SETTINGS, tmp_path)
    for task in list_tasks(prompts.prompts, 2):
        with Image.open(tmp_path / task.file_name) as image:
            prompt, values = read_by_a1111(image.text["parameters"])  # type: ignore[attr-defined]
        assert prompt == task.prompt
        assert (values["Steps"], values["CFG scale"], values["Size"]) == ("2", "4.5", "32x32")
        seed = int(values["Seed"])
        assert seed == image_seed(task.prompt, task.image_index, 3)
        noise = starting_noise(sd_model.latent_shape, torch.Generator().manual_seed(seed))
        assert torch.equal(noise, initial_latents(sd_model, task, 3))
        assert "/" not in values["Model"]  # of a run its name, not where it lies


def test_the_same_bytes_again(sd_model: DiffusionModel, prompts: PromptSet, tmp_path: Path) -> None:
    few = make_prompt_set("few", prompts.prompts[:1])
    for name in ("first", "second"):
        sample_images(sd_model, few, replace(SETTINGS, images_per_prompt=1), tmp_path / name)
    (first,), (second,) = ([*(tmp_path / name).glob("*-00.png")] for name in ("first", "second"))
    assert first.read_bytes() == second.read_bytes()
