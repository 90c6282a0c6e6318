"""`ddecli sample`: prompts to images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ddecli.cli.completion import models
from ddecli.cli.options import Device, SummaryAsJson, parse_shard
from ddecli.cli.prompts import default_prompts, named_prompts
from ddecli.core.errors import UserError
from ddecli.core.limits import MAX_BATCH, MAX_COUNT, MAX_SEED, MAX_STEPS

if TYPE_CHECKING:
    from ddecli.models.base import DiffusionModel
    from ddecli.sampling.generate import SampleSummary


def sample(
    model: Annotated[
        list[str],
        typer.Argument(
            autocompletion=models,
            help="A run folder, a preset (tiny, tiny-xl, sd15, sdxl), a diffusers folder, a checkpoint file "
            "(.safetensors) or a hub id (owner/name or owner/name@revision); with LoRA weights on top MODEL+FILE; or "
            "several.",
        ),
    ],
    prompts: Annotated[
        str | None,
        typer.Option(
            metavar="NAME[=PATH] or FILE",
            help="world:train, world:validation, world:test or world:classes; pickapic-validation, partiprompts or "
            "hpsv2, from your copy at PATH (file or folder) or from the Hugging Face hub; geneval, geneval2, dpg or "
            "t2i-compbench from your copy; imagenet-classes (A photo of ..., 1000); or a file: one prompt per line, or "
            ".csv, .tsv, .json, .jsonl, .parquet with prompt, caption or text. Categories that come with prompts are "
            "kept. Tiny models take world:validation if not given.",
        ),
    ] = None,
    prompt: Annotated[
        list[str] | None, typer.Option(help="A prompt; repeat it for more. Instead of --prompts.")
    ] = None,
    num_prompts: Annotated[
        int | None, typer.Option(min=1, max=MAX_COUNT, help="Take only the first prompts; all if not given.")
    ] = None,
    images_per_prompt: Annotated[
        int, typer.Option(min=1, max=MAX_BATCH, help="Images made for each prompt.")
    ] = 8,
    steps: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MAX_STEPS,
            help="Of DDIM; 15 for tiny models, else 50, if not given. Models made for few steps (LCM, turbo) take 4 of "
            "their own scheduler.",
        ),
    ] = None,
    guidance_scale: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Classifier-free guidance, none up to 1; 5 for tiny models, 7.5 for SD, 5 for SDXL, if not given. Of "
            "models made for few steps: turbo 0, LCM 1, or 8 where the U-Net takes it as an input.",
        ),
    ] = None,
    spacing: Annotated[
        Literal["leading", "trailing"] | None,
        typer.Option(
            help="Of DDIM's timesteps: trailing begins at the last one that is trained, leading (the usual) below it: "
            "15 steps at 925 of 999. As the model's own scheduler says, if not given."
        ),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(
            min=0, max=MAX_SEED, help="With the prompt and the image's number it decides the starting noise."
        ),
    ] = 0,
    batch_size: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MAX_BATCH,
            help="Images made at once: speed and memory only. If not given 8, of up to 64 pixels 64.",
        ),
    ] = None,
    device: Device = "auto",
    precision: Annotated[
        Literal["auto", "float32", "float16", "bfloat16"],
        typer.Option(
            help="Of the weights; auto is float16 on a GPU, but float32 for tiny models and on a processor."
        ),
    ] = "auto",
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N",
            help="Make only the I-th of N equal parts (1/4 ... 4/4), all into one --out. Under accelerate launch it "
            "is set for you, with one GPU per process.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the images; images/MODEL, after the run or model, if not given. Of several models the "
            "folder that theirs lie in, or with {name} in it, their own."
        ),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Replace an earlier sample of other settings or another model in --out; an equal one is continued.",
        ),
    ] = False,
    as_json: SummaryAsJson = False,
) -> None:
    """Make images of prompts with a model or a run.

    Example: `ddecli sample runs/sd15-dde --prompts prompts.txt --images-per-prompt 4`

    Of several models each has its own folder and record; what they share is loaded once, and one that fails is named
    at the end, when the others are done.

    An image depends on the seed, its prompt and its number only; batch size, order and shards round some pixels
    otherwise, by 1/255.
    A stopped command goes on where it stopped when it is run again.
    """
    from ddecli.core.imports import importing

    with importing(defer=True):
        from ddecli.core.console import echo
        from ddecli.core.devices import choose_device, choose_dtype
        from ddecli.core.text import to_json
        from ddecli.models.load import load_for_sampling
        from ddecli.models.presets import resolve, short_name
        from ddecli.sampling.generate import SamplingSettings, sample_images
        from ddecli.sampling.several import sample_models, target_folders

    parts = parse_shard(shard)
    settings = SamplingSettings(
        images_per_prompt, steps, guidance_scale, seed, batch_size, parts, overwrite, spacing
    )
    where = choose_device(device)
    asked = named_prompts(prompts, prompt or [], num_prompts) if prompts or prompt else None

    def load(name: str, like: DiffusionModel | None = None) -> DiffusionModel:
        source = resolve(name)
        if asked is None:
            default_prompts(source)
        dtype = choose_dtype("float32" if precision == "auto" and source.is_tiny else precision, where)
        return load_for_sampling(name, where, dtype, like)

    def draw(name: str, loaded: DiffusionModel, folder: Path) -> SampleSummary:
        of_model = asked or named_prompts(default_prompts(loaded.source), [], num_prompts)
        return sample_images(loaded, of_model, settings, folder)

    if len(model) == 1:
        (name,) = model
        summary = draw(name, load(name), out or Path("images") / short_name(name))
        echo(to_json(summary.as_dict()) if as_json else _said(summary))
        return
    targets = target_folders(model, [short_name(name) for name in model], out or Path("images"))
    found = sample_models(targets, load, draw)
    done = [summary for summary in found.values() if not isinstance(summary, UserError)]
    failed = [f"{name}: {error}" for name, error in found.items() if isinstance(error, UserError)]
    if as_json:
        echo(to_json({"folders": [summary.as_dict() for summary in done], "failed": failed}))
    else:
        for summary in done:
            echo(_said(summary))
    if failed:
        raise UserError(
            f"{len(failed)} of {len(found)} models could not be sampled, the others were. {' '.join(failed)}"
        )


def _said(summary: SampleSummary) -> str:
    """What was done, in a line."""
    left_out = "".join(
        f" {count} {kind} prompts were skipped."
        for kind, count in (("empty", summary.empty_prompts), ("repeated", summary.duplicate_prompts))
        if count
    )
    state = (
        "complete" if summary.complete else f"{summary.images} images so far, other shards are not finished"
    )
    return (
        f"{summary.out}: {summary.made} images made, {summary.kept} kept, "
        f"{summary.prompts} prompts; {state}.{left_out}"
    )
