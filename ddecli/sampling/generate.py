"""Prompts to images with a model's stock diffusers pipeline.

The starting noise of an image is a function of (seed, prompt, image index) alone, drawn on the CPU in
float32. So an image does not depend on the batch size, the order or the shard, but for the rounding of kernels
that work by the shape of a batch (1/255 in few pixels). Restarts change nothing at all: batches are cut at the same
places whatever exists already.

A stock diffusers call repeats an image from its line of metadata.jsonl:

    pipeline.scheduler = DDIMScheduler.from_config(
        pipeline.scheduler.config, clip_sample=False, timestep_spacing=spacing
    )
    generator = torch.Generator().manual_seed(image_seed(row["prompt"], row["image_index"], row["seed"]))
    pipeline(row["prompt"], generator=generator, num_inference_steps=steps, guidance_scale=guidance_scale)

in float32 (models of few steps keep their scheduler and take their own steps and guidance: `samplers.py`); in half
precision diffusers draws the noise itself in half precision, so give it as
`latents=initial_latents(...)`.
"""

from __future__ import annotations

import functools
import hashlib
import os
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from ddecli.core.console import console, no_progress, progress
from ddecli.core.errors import UserError, first_sentence
from ddecli.core.files import atomic_file, scratch_in
from ddecli.core.limits import MAX_IMAGES
from ddecli.core.prompt_rows import write_prompt_rows
from ddecli.core.protocol import CONTACT_SHEET, image_seed
from ddecli.core.seeds import starting_noise
from ddecli.core.world import SMALL_PIXELS
from ddecli.models.base import DiffusionModel
from ddecli.models.presets import short_name
from ddecli.models.quiet import quiet_libraries
from ddecli.sampling.folder import ImageTask, SampleFolder, list_tasks
from ddecli.sampling.parameters import parameters_text, png_info
from ddecli.sampling.prompts import PromptSet
from ddecli.sampling.samplers import Sampler, Spacing, sampler_of
from ddecli.sampling.sheet import contact_sheet


@dataclass(frozen=True)
class SamplingSettings:
    """How images are made. `steps`, `guidance_scale`, `spacing` and `batch_size` of None take what suits the model."""

    images_per_prompt: int = 8
    steps: int | None = None
    guidance_scale: float | None = None
    seed: int = 0
    batch_size: int | None = None
    shard: tuple[int, int] = (1, 1)
    overwrite: bool = False
    spacing: Spacing | None = None


@dataclass(frozen=True)
class SampleSummary:
    """What one call did. `images` of the whole set exist now; it is `complete` when none is missing."""

    out: str
    images: int
    made: int
    kept: int
    complete: bool
    prompts: int
    empty_prompts: int
    duplicate_prompts: int
    truncated_prompts: int
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def sample_images(
    model: DiffusionModel, prompts: PromptSet, settings: SamplingSettings, out: Path, quiet: bool = False
) -> SampleSummary:
    """Make `images_per_prompt` images of every prompt in `out`, skipping those that exist.

    Whichever call finds the whole set complete writes metadata.jsonl, prompts.json and the contact sheet.

    Args:
        model: the scheduler of its pipeline is replaced by DDIM, unless the model was made for few steps.
        quiet: no progress and no remarks, for whoever shows a progress of its own.

    Raises:
        UserError: as `sampler_of`; more images than can be; `out` holds images of other settings; an image is not
            finite; memory ran out.
    """
    began = time.monotonic()
    sampler = sampler_of(model, settings.steps, settings.guidance_scale, settings.spacing)
    if sampler.reason and not quiet:
        console.print(
            f"{model.name} was made for few steps ({sampler.reason}): it is sampled in {sampler.steps} steps of "
            f"{sampler.name}, guidance {sampler.guidance_scale:g}."
        )
    prepare_sampler(model, sampler)
    count = len(prompts.prompts) * settings.images_per_prompt
    if count > MAX_IMAGES:
        raise UserError(
            f"{len(prompts.prompts):,} prompts with {settings.images_per_prompt:,} images each are {count:,} images, "
            f"more than {MAX_IMAGES:,}: lower --num-prompts or --images-per-prompt."
        )
    folder = SampleFolder(out)
    folder.claim(
        {
            "prompt_set": prompts.name,
            "prompts_sha256": prompts.sha256,
            "num_prompts": len(prompts.prompts),
            "images_per_prompt": settings.images_per_prompt,
            "sampler": sampler.name,
            **({"sampler_reason": sampler.reason} if sampler.reason else {}),
            "steps": sampler.steps,
            **({"spacing": sampler.spacing} if sampler.spacing else {}),
            "guidance_scale": sampler.guidance_scale,
            "seed": settings.seed,
            "resolution": model.resolution,
            "world": model.world,
            "model": {
                "name": model.name,
                "family": model.family,
                "precision": str(model.unet.dtype).removeprefix("torch."),
                "unet_sha256": weights_sha256(model.unet),
            },
        },
        settings.overwrite,
    )
    tasks = list_tasks(prompts.prompts, settings.images_per_prompt)
    shard, shards = settings.shard
    mine = tasks[shard - 1 :: shards]
    todo = set(folder.missing(mine))
    truncated = sum(model.truncated(prompts.prompts))
    if truncated and not quiet:
        console.print(
            f"{truncated} of {len(prompts.prompts)} prompts are longer than the text encoder reads: "
            "their ends are cut."
        )
    batch_size = settings.batch_size or (64 if model.resolution <= SMALL_PIXELS else 8)
    bar = (
        no_progress()
        if quiet
        else progress("sampling", total=len(mine), start=len(mine) - len(todo), unit="images")
    )
    said = functools.partial(_said, model, sampler, settings.seed)
    # The pipelines' own warnings would repeat each truncated prompt in each batch.
    with (
        scratch_in(out) as scratch,
        bar as advance,
        quiet_libraries(),
        ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as writers,
    ):
        saving: list[Future[None]] = []  # while the next batch is made: a PNG takes as long as a GPU's image
        for start in range(0, len(mine), batch_size):
            batch = mine[
                start : start + batch_size
            ]  # whole, so that its missing images come out as they would have
            missing = [task in todo for task in batch]
            if not any(missing):
                continue
            pixels = generate(model, batch, settings.seed, sampler.steps, sampler.guidance_scale)
            _wait_for(saving)
            saving = [
                writers.submit(_save, picture, out / task.file_name, said(task, picture), scratch)
                for task, picture, is_missing in zip(batch, pixels, missing, strict=True)
                if is_missing
            ]
            advance(sum(missing))
        _wait_for(saving)
    left = len(folder.missing(tasks))
    if not left:
        folder.write_metadata(tasks, settings.seed)
        write_prompt_rows(out, prompts.rows)
        with atomic_file(out / CONTACT_SHEET) as temporary:
            contact_sheet(out, tasks).save(temporary, format="PNG")
    return SampleSummary(
        out=str(out),
        images=len(tasks) - left,
        made=len(todo),
        kept=len(mine) - len(todo),
        complete=left == 0,
        prompts=len(prompts.prompts),
        empty_prompts=prompts.empty,
        duplicate_prompts=prompts.duplicates,
        truncated_prompts=truncated,
        seconds=round(time.monotonic() - began, 3),
    )


def _said(model: DiffusionModel, sampler: Sampler, seed: int, task: ImageTask, picture: np.ndarray) -> str:
    """What the file of a picture (height, width, 3) says of how it was made."""
    return parameters_text(
        task.prompt,
        image_seed(task.prompt, task.image_index, seed),
        (picture.shape[1], picture.shape[0]),
        short_name(model.name),
        sampler.name,
        sampler.steps,
        sampler.guidance_scale,
        sampler.spacing,
    )


def _save(picture: np.ndarray, path: Path, said: str, scratch: Path) -> None:
    with atomic_file(path, durable=False, scratch=scratch) as temporary:
        Image.fromarray(picture).save(temporary, format="PNG", pnginfo=png_info(said))


def _wait_for(saving: list[Future[None]]) -> None:
    """Until pictures lie on the disk; what went wrong with one is raised here."""
    for future in saving:
        future.result()


def generate(
    model: DiffusionModel,
    tasks: list[ImageTask],
    seed: int | str,
    steps: int,
    guidance_scale: float,
) -> np.ndarray:
    """Run the model's pipeline once for a batch of tasks.

    Returns:
        (N, height, width, 3) uint8 pixels.

    Raises:
        UserError: a pixel is not finite, or the batch does not fit into memory.
    """
    images = _drawn(model, tasks, seed, steps, guidance_scale, "pt")
    return (images.float() * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()


def generate_latents(
    model: DiffusionModel, tasks: list[ImageTask], seed: int | str, steps: int, guidance_scale: float
) -> torch.Tensor:
    """As `generate`, but the latents, which are not decoded.

    Returns:
        (N, C, H, W) float32 on the CPU, scaled as the U-Net takes them.
    """
    return _drawn(model, tasks, seed, steps, guidance_scale, "latent").float().cpu()


@torch.inference_mode()
def _drawn(
    model: DiffusionModel,
    tasks: list[ImageTask],
    seed: int | str,
    steps: int,
    guidance_scale: float,
    output_type: str,
) -> torch.Tensor:
    """What the pipeline makes of a batch, (N, ...), finite."""
    generators = [_generator(task, seed) for task in tasks]
    try:
        latents = torch.stack([starting_noise(model.latent_shape, each) for each in generators])
        images: torch.Tensor = model.pipeline(
            prompt=[task.prompt for task in tasks],
            latents=latents.to(model.device, model.unet.dtype),
            num_inference_steps=steps,
            guidance_scale=guidance_scale,
            generator=generators,  # some samplers draw noise at every step
            eta=0.0,
            output_type=output_type,
        ).images
    except torch.OutOfMemoryError as error:
        raise UserError(
            f"{len(tasks)} images at once do not fit into the device's memory: lower --batch-size."
        ) from error
    except Exception as error:  # parts that do not fit together show when they run
        raise UserError(
            f"The model cannot draw ({first_sentence(error).rstrip('.')}): its configurations and weights are damaged, "
            "or of different models; fetch it again."
        ) from error
    whole = images.flatten(1).isfinite().all(dim=1).tolist()
    for task, is_finite in zip(tasks, whole, strict=True):
        if not is_finite:
            raise UserError(
                f"The model made an image that is not finite for prompt {task.prompt_id} "
                f'("{task.prompt[:60]}", image {task.image_index}): '
                "its weights are damaged, or need --precision float32."
            )
    return images


def initial_latents(model: DiffusionModel, task: ImageTask, seed: int) -> torch.Tensor:
    """The noise an image starts from: (C, H, W) float32 on the CPU."""
    return starting_noise(model.latent_shape, _generator(task, seed))


def weights_sha256(module: torch.nn.Module) -> str:
    """SHA-256 over names and values of a module's weights as they are loaded (LoRA included)."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _generator(task: ImageTask, seed: int | str) -> torch.Generator:
    """Of all random numbers of an image, on the CPU."""
    return torch.Generator().manual_seed(image_seed(task.prompt, task.image_index, seed))


def prepare_sampler(model: DiffusionModel, sampler: Sampler) -> None:
    """Set the sampler; no safety checker, no watermark, no bars of the library's own."""
    pipeline = model.pipeline
    pipeline.scheduler = sampler.scheduler
    if hasattr(pipeline, "safety_checker"):
        pipeline.safety_checker = None
    if hasattr(pipeline, "watermark"):
        pipeline.watermark = None
    pipeline.set_progress_bar_config(disable=True)
