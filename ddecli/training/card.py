"""The model card: README.md beside the weights, as the Hugging Face hub reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from huggingface_hub import ModelCardData

from ddecli.core.errors import UserError
from ddecli.core.files import read_yaml, write_text
from ddecli.core.manifest import versions
from ddecli.core.text import markdown, to_json
from ddecli.models.base import DiffusionModel
from ddecli.models.presets import HUB_ID, resolve
from ddecli.objectives.registry import known_loss
from ddecli.training.settings import TrainSettings

SHOWN = (
    "model_revision", "model_sha256",
    "steps", "batch_size", "lr", "warmup", "beta", "error", "optimizer", "weight_ema", "lora", "segment",
    "prompt_dropout", "seed",
)  # fmt: skip
"""Settings that say how the model was trained; run.yaml holds all of them."""


def write_card(folder: Path, settings: TrainSettings, model: DiffusionModel, pairs: dict[str, Any]) -> None:
    """Write README.md.

    Args:
        folder: the saved model's.
        settings: of the run.
        model: the model that was trained.
        pairs: the pair store's manifest.
    """
    write_text(
        folder / "README.md", f"---\n{_header(settings, model)}\n---\n\n{_text(settings, model, pairs)}"
    )


def base_hub_id(name: str) -> str | None:
    """Hub id of the model that a training started from, through any runs in between; None for a local folder."""
    run = Path(name) / "run.yaml"
    try:
        if run.is_file():
            return base_hub_id(str(read_yaml(run).get("model")))
        location = resolve(name).location
    except UserError:  # moved away or damaged since the training began: no reason to lose its model
        return None
    return location if HUB_ID.fullmatch(location) and not Path(location).exists() else None


def _header(settings: TrainSettings, model: DiffusionModel) -> str:
    base = base_hub_id(settings.model)
    kind = "adapter" if settings.lora else "finetune"
    relation: dict[str, Any] = {"base_model_relation": kind} if base else {}
    family = {"sd": "stable-diffusion", "sdxl": "stable-diffusion-xl"}[model.family]
    tags = [family, "text-to-image", "preference-optimization", settings.loss, "ddecli"]
    data = ModelCardData(
        base_model=base,
        library_name="diffusers",
        pipeline_tag="text-to-image",
        tags=[*tags, "lora"] if settings.lora else tags,
        **relation,
    )
    return str(data.to_yaml())


def _text(settings: TrainSettings, model: DiffusionModel, pairs: dict[str, Any]) -> str:
    base = base_hub_id(settings.model) or Path(settings.model).name
    name = markdown(base)
    what = f"LoRA weights of rank {settings.lora} for" if settings.lora else "A fine-tuned"
    loss = known_loss(settings.loss)
    values = settings.model_dump()
    rows = [f"| {name} | {values[name]} |" for name in SHOWN if values[name] is not None]
    counts = pairs["counts"]
    dropped = [
        f"- dropped: {count:,} ({markdown(reason)})" for reason, count in pairs.get("dropped", {}).items()
    ]
    return "\n".join(
        [
            f"# {name}, {settings.loss}",
            "",
            f"{what} {name}, trained on preference pairs with `ddecli train --loss {settings.loss}`: "
            f"{loss.summary}{f' ({loss.paper})' if loss.paper else ''}.",
            "",
            "## Use",
            "",
            "```python",
            *_usage(settings, model, base),
            "```",
            "",
            "## Training",
            "",
            "| setting | value |",
            "| --- | --- |",
            *rows,
            "",
            "`lr` is the rate after warm-up, scaled by nothing. Errors are means over a latent's numbers, of the noise "
            "or (`native`) of what the model predicts; `beta` is to be read so.",
            "",
            "## Pairs",
            "",
            f"- source: {markdown(Path(pairs['source']).name)}",
            f"- {counts['pairs']:,} pairs of {counts['images']:,} images, {counts['prompts']:,} prompts with the empty "
            f"one, at {pairs['model']['resolution']} pixels",
            *dropped,
            "",
            "## Versions",
            "",
            ", ".join(f"{name} {version}" for name, version in versions().items()),
            "",
        ]
    )


def _usage(settings: TrainSettings, model: DiffusionModel, base: str) -> list[str]:
    pipeline = type(model.pipeline).__name__
    lines = [f"from diffusers import {pipeline}", ""]
    if not settings.lora:
        return [*lines, f'pipeline = {pipeline}.from_pretrained(".")  # this folder, or its id on the hub']
    on_hub = base_hub_id(settings.model) is not None
    at = f'revision="{settings.model_revision}", ' if settings.model_revision else ""
    return [
        "import torch",
        *lines,
        f"base = {to_json(base)}" + ("" if on_hub else "  # its folder on your machine"),
        f"pipeline = {pipeline}.from_pretrained(base, {at}dtype=torch.float32)  # all parts in one precision",
        'pipeline.load_lora_weights(".")  # this folder, or its id on the hub',
    ]
