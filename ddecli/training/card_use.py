"""The "Use" block of a model card: Python that loads the model with stock diffusers, as it stands, in its folder.

A LoRA needs what it was trained on: the base, by its id on the hub or its place on this machine, and the LoRA weights
that lay on top of it already, which are copied into `below/` so that the folder is whole without the runs they are of.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from ddecli.core.text import to_json
from ddecli.models.kohya import lora_files
from ddecli.models.presets import HUB_ID, LORA_WEIGHTS, ModelSource, builtin_weights
from ddecli.training.settings import TrainSettings

BELOW = "below"
HERE = 'here = "."  # this folder, or its id on the hub'


def keep_loras_below(folder: Path, source: ModelSource) -> None:
    """Copy the LoRA weights that a LoRA run started from into its saved model.

    Args:
        folder: the saved model's.
        source: what the run started from.
    """
    for number, lora in enumerate(source.loras, 1):
        (folder / BELOW).mkdir(exist_ok=True)
        shutil.copyfile(lora, folder / BELOW / f"{number}.safetensors")


def usage(settings: TrainSettings, source: ModelSource, base: Path, pipeline: str) -> list[str]:
    """The lines of the block.

    Args:
        settings: of the run.
        source: what it started from.
        base: the diffusers folder of that.
        pipeline: name of its diffusers class.
    """
    draw = f'pipeline({to_json(_example(source))}).images[0].save("image.png")'
    if not settings.lora:
        return [
            f"from diffusers import {pipeline}", "", HERE, f"pipeline = {pipeline}.from_pretrained(here)", draw,
        ]  # fmt: skip
    imports, named = _base(settings, source, base)
    at = f', revision="{settings.model_revision}"' if settings.model_revision else ""
    below = [
        line
        for number in range(1, len(source.loras) + 1)
        for line in (
            f'pipeline.load_lora_weights(here, subfolder="{BELOW}", weight_name="{number}.safetensors")',
            "pipeline.fuse_lora()  # it was trained on top of this one",
            "pipeline.unload_lora_weights()",
        )
    ]
    return [
        "import torch",
        f"from diffusers import {pipeline}",
        *imports,
        "",
        named,
        HERE,
        f"pipeline = {pipeline}.from_pretrained(base{at}, dtype=torch.float32)  # all parts in one precision",
        *below,
        f"pipeline.load_lora_weights(here, weight_name={to_json(weight_file(settings))})",
        draw,
    ]


def in_other_programs(settings: TrainSettings, source: ModelSource) -> str:
    """What to do with a LoRA in ComfyUI, A1111 and their kin; empty where there is no file for them."""
    if not settings.lora or settings.lora_format == "diffusers":
        return ""
    name = lora_files("kohya", settings.folder.resolve().name)[0]
    if source.loras:
        return (
            f"`{name}` is for ComfyUI, A1111 and their kin, on top of a checkpoint that the LoRA weights in `{BELOW}/` "
            "are part of: `ddecli merge` makes one."
        )
    return f"In ComfyUI, A1111 and their kin: `{name}` into the folder of LoRAs, at strength 1."


def weight_file(settings: TrainSettings) -> str:
    """The file of a LoRA run's weights that diffusers is to read."""
    files = lora_files(settings.lora_format, settings.folder.resolve().name)
    return LORA_WEIGHTS if LORA_WEIGHTS in files else files[0]


def _base(settings: TrainSettings, source: ModelSource, base: Path) -> tuple[list[str], str]:
    """Imports, and the line that names the base."""
    if HUB_ID.fullmatch(source.location) and not Path(source.location).exists():
        return [], f"base = {to_json(source.location)}"
    built_in = builtin_weights("")
    if base.is_relative_to(built_in):
        name = to_json(str(base.relative_to(built_in)))
        return [
            "from ddecli.models.presets import builtin_weights"
        ], f"base = builtin_weights({name})  # comes with ddecli"
    place = os.path.relpath(base.resolve(), (settings.folder / "model").resolve())
    return [], f"base = {to_json(place)}  # its folder on the machine that it was trained on, from here"


def _example(source: ModelSource) -> str:
    return "a red circle" if source.is_tiny else "a cat"
