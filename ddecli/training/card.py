"""The model card: README.md beside the weights, as the Hugging Face hub reads it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCardData

from ddecli import __version__
from ddecli.core.errors import UserError
from ddecli.core.files import read_yaml, write_text
from ddecli.core.manifest import versions
from ddecli.core.text import markdown
from ddecli.models.base import DiffusionModel
from ddecli.models.presets import HUB_ID, ModelSource, presets, resolve, short_name
from ddecli.objectives.loss import Loss
from ddecli.objectives.registry import known_loss
from ddecli.training.card_use import in_other_programs, usage
from ddecli.training.settings import TrainSettings

OWN_LICENSE = "apache-2.0"
"""Of this package, and the models in it."""
SHOWN = (
    "model_revision", "model_sha256",
    "steps", "batch_size", "lr", "warmup", "beta", "error", "optimizer", "weight_ema", "lora", "segment",
    "prompt_dropout", "seed",
)  # fmt: skip
"""Settings that say how the model was trained; run.yaml holds all of them."""


def write_card(
    folder: Path,
    settings: TrainSettings,
    model: DiffusionModel,
    pairs: dict[str, Any],
    alarms: Sequence[str] = (),
) -> None:
    """Write README.md.

    Args:
        folder: the saved model's.
        settings: of the run.
        model: the model that was trained.
        pairs: the pair store's manifest.
        alarms: what went wrong, as far as it was seen.
    """
    text = _text(settings, model, pairs, alarms)
    write_text(folder / "README.md", f"---\n{_header(settings, model)}\n---\n\n{text}")


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


def license_of(name: str, source: ModelSource) -> str | None:
    """The licence of the model that a training started from, as the hub abbreviates it, if it is known.

    What is trained from it has it too.
    """
    if source.is_tiny:
        return OWN_LICENSE
    base = base_hub_id(name)
    return next((entry.get("license") for entry in presets().values() if entry["source"] == base), None)


def _header(settings: TrainSettings, model: DiffusionModel) -> str:
    base = base_hub_id(settings.model)
    kind = "adapter" if settings.lora else "finetune"
    relation: dict[str, Any] = {"base_model_relation": kind} if base else {}
    family = {"sd": "stable-diffusion", "sdxl": "stable-diffusion-xl"}[model.family]
    tags = [family, "text-to-image", "preference-optimization", settings.loss, "ddecli"]
    data = ModelCardData(
        base_model=base,
        license=license_of(settings.model, model.source),
        library_name="diffusers",
        pipeline_tag="text-to-image",
        tags=[*tags, "lora"] if settings.lora else tags,
        **relation,
    )
    return str(data.to_yaml())


def _text(
    settings: TrainSettings, model: DiffusionModel, pairs: dict[str, Any], alarms: Sequence[str]
) -> str:
    name = markdown(base_hub_id(settings.model) or short_name(settings.model))
    name += " with LoRA weights on it" if model.source.loras else ""
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
            *usage(settings, model.source, model.folder, type(model.pipeline).__name__),
            "```",
            "",
            *([other, ""] if (other := in_other_programs(settings, model.source)) else []),
            "## Training",
            "",
            "| setting | value |",
            "| --- | --- |",
            *rows,
            "",
            "`lr` is the rate after warm-up, scaled by nothing. Errors are means over a latent's numbers, of the noise "
            "or (`native`) of what the model predicts; `beta` is to be read so.",
            "",
            *(["Alarms:", "", *(f"- {markdown(each)}" for each in alarms), ""] if alarms else []),
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
            "## License",
            "",
            _license(license_of(settings.model, model.source), name),
            "",
            "## Citation",
            "",
            "```bibtex",
            *_citation(loss),
            "```",
            "",
        ]
    )


def _license(known: str | None, name: str) -> str:
    if known is None:
        return f"No licence is stated here: that of {name} holds for what was trained from it."
    return f"`{known}`, as that of {name}, from which it was trained."


def _citation(loss: Loss) -> list[str]:
    """The paper of the loss, if there is one, and this program."""
    own = [
        "@software{ddecli,",
        "  title = {ddecli: preference alignment of text-to-image diffusion models},",
        f"  version = {{{__version__}}}",
        "}",
    ]
    number = loss.paper.removeprefix("arXiv:")
    if not number:
        return own
    return [
        f"@misc{{arxiv-{number},",
        f"  eprint = {{{number}}},",
        "  archivePrefix = {arXiv},",
        f"  url = {{https://arxiv.org/abs/{number}}}",
        "}",
        *own,
    ]
