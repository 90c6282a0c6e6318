"""Images depend on seed, prompt and number alone; a sample can be stopped, continued and sharded."""

from __future__ import annotations

import hashlib
import inspect
import json
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tiny_models
import torch
from diffusers import DDIMScheduler, DiffusionPipeline
from PIL import Image

from ddecli.core.errors import UserError
from ddecli.core.protocol import image_seed
from ddecli.models.base import DiffusionModel
from ddecli.models.load import load_for_sampling, load_model
from ddecli.sampling.folder import ImageTask, list_tasks
from ddecli.sampling.generate import (
    SamplingSettings,
    initial_latents,
    prepare_sampler,
    sample_images,
    weights_sha256,
)
from ddecli.sampling.prompts import PromptSet, make_prompt_set
from ddecli.sampling.samplers import default_guidance_scale, default_steps

SETTINGS = SamplingSettings(images_per_prompt=2, steps=2, seed=3)


def pictures(folder: Path) -> dict[str, np.ndarray]:
    return {path.name: np.array(Image.open(path)).astype(int) for path in sorted(folder.glob("*-0?.png"))}


def assert_same_pictures(left: Path, right: Path) -> None:
    ours, theirs = pictures(left), pictures(right)
    assert ours.keys() == theirs.keys()
    for name, picture in ours.items():
        assert np.abs(picture - theirs[name]).max() <= 1, name


@pytest.mark.two_threads
def test_images_do_not_depend_on_batch_order_or_shards(
    model: DiffusionModel, prompts: PromptSet, tmp_path: Path
) -> None:
    sample_images(model, prompts, replace(SETTINGS, batch_size=6), tmp_path / "whole")
    sample_images(model, prompts, replace(SETTINGS, batch_size=1), tmp_path / "single")
    assert_same_pictures(tmp_path / "whole", tmp_path / "single")
    turned = make_prompt_set("test", prompts.prompts[::-1])
    sample_images(model, turned, replace(SETTINGS, batch_size=4), tmp_path / "turned")
    assert_same_pictures(tmp_path / "whole", tmp_path / "turned")
    for shard in (2, 3, 1):
        summary = sample_images(model, prompts, replace(SETTINGS, shard=(shard, 3)), tmp_path / "sharded")
        assert summary.made == 2
        assert summary.complete == (shard == 1)
        assert (tmp_path / "sharded" / "metadata.jsonl").exists() == (shard == 1)
    assert_same_pictures(tmp_path / "whole", tmp_path / "sharded")
    left, right = (tmp_path / name / "metadata.jsonl" for name in ("whole", "sharded"))
    assert left.read_text() == right.read_text()


@pytest.mark.two_threads
def test_an_image_is_what_stock_diffusers_makes(
    model: DiffusionModel, prompts: PromptSet, tmp_path: Path
) -> None:
    sample_images(model, prompts, SETTINGS, tmp_path / "out")
    task = list_tasks(prompts.prompts, 2)[3]
    pipeline = model.pipeline
    pipeline.scheduler = DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1, clip_sample=False
    )
    stock = pipeline(
        task.prompt,
        latents=initial_latents(model, task, 3)[None],
        num_inference_steps=2,
        guidance_scale=default_guidance_scale(model),
    ).images[0]
    ours = np.array(Image.open(tmp_path / "out" / task.file_name)).astype(int)
    assert np.abs(ours - np.array(stock)).max() <= 1


def test_a_model_of_pictures_that_are_not_square(prompts: PromptSet, tmp_path: Path) -> None:
    """They are sampled as stock diffusers does, and loading them to train is refused."""
    pipeline = tiny_models.sd_pipeline()
    pipeline.unet.register_to_config(sample_size=[8, 16])
    pipeline.save_pretrained(tmp_path / "wide")
    model = load_for_sampling(str(tmp_path / "wide"))
    sample_images(model, prompts, SETTINGS, tmp_path / "out")
    protocol = json.loads((tmp_path / "out" / "protocol.json").read_text())
    assert (model.latent_shape, protocol["resolution"]) == ((4, 8, 16), 64)
    task = list_tasks(prompts.prompts, 2)[3]
    stock: Any = DiffusionPipeline.from_pretrained(tmp_path / "wide")
    stock.scheduler = DDIMScheduler.from_config(stock.scheduler.config, clip_sample=False)
    generator = torch.Generator().manual_seed(image_seed(task.prompt, task.image_index, 3))
    theirs = stock(task.prompt, generator=generator, num_inference_steps=2, guidance_scale=7.5).images[0]
    ours = np.array(Image.open(tmp_path / "out" / task.file_name)).astype(int)
    assert ours.shape == (32, 64, 3)
    assert np.abs(ours - np.array(theirs)).max() <= 1
    with pytest.raises(
        UserError, match="latents 16 wide and 8 high, and pairs are prepared and trained on as sq"
    ):
        load_model(str(tmp_path / "wide"))


@pytest.mark.two_threads
def test_restart_makes_only_what_is_missing(
    sd_model: DiffusionModel, prompts: PromptSet, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    sample_images(sd_model, prompts, SETTINGS, out)
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("*-0?.png")}
    content = pictures(out)
    lost = sorted(before)[1:3]
    for name in lost:
        (out / name).unlink()
    (out / "metadata.jsonl").unlink()
    (out / lost[0]).touch()  # emptied by a power cut
    (out / f".{lost[0]}.123-abc.tmp").write_bytes(b"half an image")
    summary = sample_images(sd_model, prompts, SETTINGS, out)
    assert (summary.made, summary.kept, summary.complete) == (2, 4, True)
    after = {path.name: path.stat().st_mtime_ns for path in out.glob("*-0?.png")}
    assert {name for name in after if after[name] != before[name]} == set(lost)
    assert all(np.abs(content[name] - picture).max() <= 1 for name, picture in pictures(out).items())
    rows = [json.loads(line) for line in (out / "metadata.jsonl").read_text().splitlines()]
    assert [row["prompt"] for row in rows] == [prompt for prompt in prompts.prompts for _ in range(2)]
    assert [row["image_index"] for row in rows] == [0, 1] * 3
    assert all((out / row["file_name"]).exists() and row["seed"] == 3 for row in rows)


@pytest.mark.two_threads
def test_a_restart_gives_the_same_files_whatever_the_kernels_round_by(
    sd_model: DiffusionModel, prompts: PromptSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kernels may round by the shape of a batch and by a row's place in it: here they do."""

    def painted(model: object, tasks: list[ImageTask], *settings: object) -> np.ndarray:
        return np.stack(
            [np.full((32, 32, 3), 100 + 10 * len(tasks) + row, np.uint8) for row in range(len(tasks))]
        )

    monkeypatch.setattr("ddecli.sampling.generate.generate", painted)
    settings = replace(SETTINGS, batch_size=4)
    for shard in ((1, 1), (1, 2), (2, 2)):
        out = tmp_path / f"{shard[0]} of {shard[1]}"
        sample_images(sd_model, prompts, replace(settings, shard=shard), out)
        whole = {path.name: path.read_bytes() for path in out.glob("*-0?.png")}
        for name in sorted(whole)[::2]:
            (out / name).unlink()
        again = sample_images(sd_model, prompts, replace(settings, shard=shard), out)
        assert again.made == len(sorted(whole)[::2])
        assert {path.name: path.read_bytes() for path in out.glob("*-0?.png")} == whole


def test_seed_prompt_and_number_each_change_the_noise(sd_model: DiffusionModel) -> None:
    first, second, other = list_tasks(("a", "b"), 2)[:3]
    noises = [
        initial_latents(sd_model, task, seed)
        for task, seed in ((first, 0), (second, 0), (other, 0), (first, 1))
    ]
    assert len({noise.numpy().tobytes() for noise in noises}) == 4
    assert torch.equal(noises[0], initial_latents(sd_model, first, 0))
    assert noises[0].shape == (4, 8, 8)


def test_other_settings_are_refused_and_overwritten_on_request(
    sd_model: DiffusionModel, prompts: PromptSet, tmp_path: Path
) -> None:
    sample_images(sd_model, prompts, SETTINGS, tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    of_earlier_images = [tmp_path / "scores.parquet", tmp_path / "beside-base.png"]
    for file in of_earlier_images:
        file.write_text("")
    with pytest.raises(UserError, match=r"steps 2, now 3.*--overwrite"):
        sample_images(sd_model, prompts, replace(SETTINGS, steps=3), tmp_path)
    sample_images(
        sd_model, prompts, replace(SETTINGS, steps=3, images_per_prompt=1, overwrite=True), tmp_path
    )
    assert len(pictures(tmp_path)) == 3
    assert json.loads((tmp_path / "protocol.json").read_text())["steps"] == 3
    assert (tmp_path / "notes.txt").exists()
    assert not any(file.exists() for file in of_earlier_images)


def test_a_trained_model_is_not_mixed_with_its_base(
    sd_model: DiffusionModel, prompts: PromptSet, tmp_path: Path
) -> None:
    sample_images(sd_model, prompts, SETTINGS, tmp_path)
    weight = sd_model.unet.conv_out.bias
    with torch.no_grad():
        weight += 1
    try:
        with pytest.raises(UserError, match="unet_sha256"):
            sample_images(sd_model, prompts, SETTINGS, tmp_path)
    finally:
        with torch.no_grad():
            weight -= 1


def test_shards_replace_an_earlier_sample_once(
    sd_model: DiffusionModel, prompts: PromptSet, tmp_path: Path
) -> None:
    sample_images(sd_model, prompts, SETTINGS, tmp_path)
    changed = replace(SETTINGS, steps=3, overwrite=True)
    assert not sample_images(sd_model, prompts, replace(changed, shard=(1, 2)), tmp_path).complete
    assert sample_images(sd_model, prompts, replace(changed, shard=(2, 2)), tmp_path).complete
    assert sample_images(sd_model, prompts, changed, tmp_path).made == 0


def test_foreign_images_are_refused(sd_model: DiffusionModel, prompts: PromptSet, tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "holiday.png")
    with pytest.raises(UserError, match=r"no protocol\.json"):
        sample_images(sd_model, prompts, SETTINGS, tmp_path)


def test_images_that_are_not_finite_are_refused(
    sd_model: DiffusionModel, prompts: PromptSet, tmp_path: Path
) -> None:
    bias = sd_model.unet.conv_out.bias
    kept = bias.detach().clone()
    with torch.no_grad():
        bias.fill_(float("nan"))
    try:
        with pytest.raises(UserError, match="not finite"):
            sample_images(sd_model, prompts, SETTINGS, tmp_path)
    finally:
        with torch.no_grad():
            bias.copy_(kept)
    assert not pictures(tmp_path)


def test_long_and_non_latin_prompts(
    sd_model: DiffusionModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prompts = make_prompt_set("test", ["word " * 2000, "絵", "🙂", "a dog", "a dog"])
    began = time.monotonic()
    summary = sample_images(sd_model, prompts, replace(SETTINGS, images_per_prompt=1), tmp_path)
    assert 0 < summary.seconds <= time.monotonic() - began + 0.001
    assert summary.complete
    assert summary.images == 4
    assert summary.duplicate_prompts == 1
    assert summary.truncated_prompts == 1
    said = capsys.readouterr().err
    assert len(said) < 500 and "1 of 4 prompts are longer than the text encoder reads" in " ".join(
        said.split()
    )
    short = make_prompt_set("test", ["a dog"])
    sample_images(sd_model, short, replace(SETTINGS, images_per_prompt=1), tmp_path / "short")
    assert "longer" not in capsys.readouterr().err


def test_defaults_of_each_family(model: DiffusionModel) -> None:
    assert default_steps(model) == 50
    guidance = inspect.signature(model.pipeline.__call__).parameters["guidance_scale"].default
    assert default_guidance_scale(model) == guidance == (5.0 if model.family == "sdxl" else 7.5)


def test_contact_sheet(sd_model: DiffusionModel, prompts: PromptSet, tmp_path: Path) -> None:
    sample_images(sd_model, prompts, SETTINGS, tmp_path)
    sheet = Image.open(tmp_path / "contact-sheet.png").convert("RGB")
    cell = Image.open(tmp_path / list_tasks(prompts.prompts, 2)[0].file_name).resize((96, 96), 0)
    assert sheet.getpixel((0, 0)) == (255, 255, 255)
    inside = (1, 1, 95, 95)  # a thin frame covers the edge
    assert sheet.crop((24, 48, 120, 144)).crop(inside).tobytes() == cell.crop(inside).tobytes()


def test_sample_is_an_imagefolder(sd_model: DiffusionModel, prompts: PromptSet, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    sample_images(sd_model, prompts, SETTINGS, tmp_path / "out")
    rows = datasets.load_dataset(
        "imagefolder", data_dir=str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache")
    )
    assert len(rows) == 6
    assert sorted(rows["prompt"]) == sorted(prompts.prompts * 2)


def test_no_checker_no_watermark_no_bars() -> None:
    bars: dict[str, bool] = {}
    given: dict[str, Any] = {"scheduler": "old", "set_progress_bar_config": lambda **how: bars.update(how)}
    for parts in ({}, {"safety_checker": "checker"}, {"watermark": "mark"}):
        pipeline = SimpleNamespace(**given, **parts)
        prepare_sampler(SimpleNamespace(pipeline=pipeline), SimpleNamespace(scheduler="new"))
        assert vars(pipeline) == given | dict.fromkeys(parts) | {"scheduler": "new"}
        assert bars == {"disable": True}


def test_a_damaged_protocol_is_replaced_on_request_alone(
    sd_model: DiffusionModel, prompts: PromptSet, tmp_path: Path
) -> None:
    sample_images(sd_model, prompts, SETTINGS, tmp_path)
    (tmp_path / "protocol.json").write_text("{")
    with pytest.raises(UserError, match=r"protocol\.json"):
        sample_images(sd_model, prompts, SETTINGS, tmp_path)
    assert (tmp_path / "protocol.json").read_text() == "{"
    assert sample_images(sd_model, prompts, replace(SETTINGS, overwrite=True), tmp_path).made == 6


@pytest.mark.parametrize("batch_size", [2, 6])
def test_a_picture_that_cannot_be_written_is_said(
    sd_model: DiffusionModel,
    prompts: PromptSet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    batch_size: int,
) -> None:
    def full(picture: np.ndarray, path: Path, said: str, scratch: Path) -> None:
        raise UserError(f"Cannot write {path}: No space left on device.")

    monkeypatch.setattr("ddecli.sampling.generate._save", full)
    with pytest.raises(UserError, match="No space left"):
        sample_images(sd_model, prompts, replace(SETTINGS, batch_size=batch_size), tmp_path)
    assert not (tmp_path / "metadata.jsonl").exists()


def test_weights_are_known_by_their_names_and_values() -> None:
    def digest(**values: list[float]) -> str:
        module = torch.nn.Module()
        for name, value in values.items():
            module.register_parameter(name, torch.nn.Parameter(torch.tensor(value)))
        return weights_sha256(module)

    expected = hashlib.sha256(b"a" + np.float32([1, 2]).tobytes() + b"b" + np.float32([3]).tobytes())
    assert digest(b=[3.0], a=[1.0, 2.0]) == expected.hexdigest()
    assert len({digest(a=[1.0]), digest(b=[1.0]), digest(a=[2.0])}) == 3
