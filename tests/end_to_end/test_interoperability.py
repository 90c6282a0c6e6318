"""What stock libraries make of our files: diffusers repeats our images, datasets reads our folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import tiny_models
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline, StableDiffusionXLPipeline
from PIL import Image

from ddecli.core.protocol import image_seed
from ddecli.data.prepare import prepare
from ddecli.models.load import load_for_sampling, load_model
from ddecli.sampling.generate import SamplingSettings, sample_images
from ddecli.sampling.prompts import make_prompt_set
from ddecli.tinyworld.pairs import world_pairs
from ddecli.training.loop import train
from ddecli.training.settings import resolve_settings

PROMPTS = ["a red circle", "a blue star, on white"]
STEPS, GUIDANCE, SEED = 3, 4.0, 7


def trained(model: Path, store: Path, out: Path, **changed: Any) -> Path:
    """A run of two steps that moves the weights far."""
    given = {
        "model": str(model), "data": str(store), "out": str(out), "loss": "dde", "steps": 2, "batch_size": 4,
        "lr": 1e-2, "warmup": 0, "beta": 50.0, "device": "cpu", "max_winner_error": 1e9,
    }  # fmt: skip
    train(resolve_settings(given | changed))
    return out


def sampled(run: Path, out: Path) -> list[dict[str, Any]]:
    """Two images of each prompt with `ddecli`'s sampling; returns the lines of metadata.jsonl."""
    settings = SamplingSettings(2, STEPS, GUIDANCE, SEED, batch_size=1)
    sample_images(load_for_sampling(str(run)), make_prompt_set("test", PROMPTS), settings, out)
    return [json.loads(line) for line in (out / "metadata.jsonl").read_text().splitlines()]


def repeat_with_diffusers(pipeline: Any, row: dict[str, Any]) -> np.ndarray:
    """The image of a line of metadata.jsonl, as the documentation says that it can be repeated."""
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config, clip_sample=False)
    generator = torch.Generator().manual_seed(image_seed(row["prompt"], row["image_index"], row["seed"]))
    image = pipeline(
        row["prompt"], generator=generator, num_inference_steps=STEPS, guidance_scale=GUIDANCE
    ).images[0]
    return np.asarray(image)


def assert_repeats(pipeline: Any, rows: list[dict[str, Any]], folder: Path) -> None:
    assert len(rows) == 2 * len(PROMPTS)
    for row in rows:
        ours = np.asarray(Image.open(folder / row["file_name"]))
        np.testing.assert_array_equal(repeat_with_diffusers(pipeline, row), ours)


def test_a_trained_model_and_its_images(sd_folder: Path, sd_store: Path, tmp_path: Path) -> None:
    run = trained(sd_folder, sd_store, tmp_path / "run")
    rows = sampled(run, tmp_path / "images")
    stock = StableDiffusionPipeline.from_pretrained(run / "model", safety_checker=None)
    assert_repeats(stock, rows, tmp_path / "images")
    base = StableDiffusionPipeline.from_pretrained(sd_folder, safety_checker=None)
    assert (repeat_with_diffusers(base, rows[0]) != repeat_with_diffusers(stock, rows[0])).any()
    found = datasets.load_dataset(
        "imagefolder", data_dir=str(tmp_path / "images"), split="train", cache_dir=str(tmp_path / "cache")
    )
    table = {(row["prompt"], row["image_index"]): row["image"] for row in found}
    for row in rows:
        ours = np.asarray(Image.open(tmp_path / "images" / row["file_name"]))
        np.testing.assert_array_equal(np.asarray(table[row["prompt"], row["image_index"]]), ours)


def test_lora_weights_and_their_images(sdxl_folder: Path, sdxl_store: Path, tmp_path: Path) -> None:
    run = trained(sdxl_folder, sdxl_store, tmp_path / "run", lora=2)
    rows = sampled(run, tmp_path / "images")
    stock = StableDiffusionXLPipeline.from_pretrained(sdxl_folder)
    before = repeat_with_diffusers(stock, rows[0])
    stock.load_lora_weights(run / "model")
    assert_repeats(stock, rows, tmp_path / "images")
    assert (repeat_with_diffusers(stock, rows[0]) != before).any()


@pytest.fixture
def v_model(tmp_path: Path) -> Path:
    """A model that predicts v, its schedule rescaled to zero terminal SNR."""
    pipeline = tiny_models.sd_pipeline()
    pipeline.scheduler = DDIMScheduler(
        **tiny_models.SCHEDULE, clip_sample=False, prediction_type="v_prediction", rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
    )  # fmt: skip
    pipeline.save_pretrained(tmp_path / "v-model")
    return tmp_path / "v-model"


def test_v_prediction_from_training_to_images(v_model: Path, tmp_path: Path) -> None:
    prepare(world_pairs(10), load_model(str(v_model)), tmp_path / "pairs", source="world")
    run = trained(v_model, tmp_path / "pairs", tmp_path / "run", loss="uniform")
    first = json.loads((run / "metrics.jsonl").read_text().splitlines()[0])
    assert first["loss"] == pytest.approx(np.log(2), abs=1e-7) and first["gradient_norm"] > 0
    rows = sampled(run, tmp_path / "images")
    stock = StableDiffusionPipeline.from_pretrained(run / "model", safety_checker=None)
    assert stock.scheduler.config.prediction_type == "v_prediction"
    assert stock.scheduler.config.rescale_betas_zero_snr
    assert_repeats(stock, rows, tmp_path / "images")
