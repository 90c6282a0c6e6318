"""Find a scorer's weights on this machine, or say in one sentence what to download."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ddecli.core.errors import UserError
from ddecli.core.files import sha256_file, sha256_text
from ddecli.core.hub import hub_files
from ddecli.scoring.published import CLIP_H, METRICS, PublishedMetric, ScorerSource

CONFIG = "config.json"
SAFETENSORS = "model*.safetensors"
SMALL_FILES = ("*.json", "*.jinja", "merges.txt")


@dataclass(frozen=True)
class Weights:
    """A scorer's model on this machine.

    model: a transformers folder, or the preset's checkpoint file.
    companion: folder of the preset's `companion_files`; `model` itself where it has them.
    label: the model's name for the card.
    identity: what tells two versions apart: the hub's revision, or the SHA-256 of a folder's weights.
    """

    model: Path
    companion: Path
    label: str
    identity: dict[str, str]


def find_weights(metric: str, source: ScorerSource) -> Weights:
    """The files of a scorer's model; those of the hub are downloaded into the Hugging Face cache first.

    Raises:
        UserError: no such folder, or neither cache nor network has the model.
    """
    if isinstance(source.location, str):
        return _of_hub(metric, source)
    checkpoint = _checkpoint_in(metric, source.location)
    if checkpoint is None:
        model, label = source.location, source.label
        digests = [sha256_file(file) for file in sorted(model.glob(SAFETENSORS))]
        if not digests:
            raise UserError(f"{model} has no {SAFETENSORS} weights: save the model with safe serialization.")
    else:
        model, label, digests = checkpoint, checkpoint.name, [sha256_file(checkpoint)]
    digest = digests[0] if len(digests) == 1 else sha256_text("\n".join(digests))
    own = source.location if source.location.is_dir() else source.location.parent
    complete = all((own / name).is_file() for name in METRICS[metric].companion_files)
    return Weights(model, own if complete else _companion(metric, source), label, {"sha256": digest})


def _of_hub(metric: str, source: ScorerSource) -> Weights:
    repository = str(source.location)
    checkpoint = METRICS[metric].checkpoint
    published = _published(METRICS[metric])
    folder = hub_files(
        repository,
        published or [CONFIG, SAFETENSORS],
        f"The weights of {metric}",
        f"run `hf download {' '.join([repository, *published])} --local-dir FOLDER` where there is a network, "
        f"and give --scorer {metric}=FOLDER",
        wanted=() if checkpoint else SMALL_FILES,
    )
    return Weights(
        folder / checkpoint if checkpoint else folder,
        folder if source.companion is None else _companion(metric, source),
        f"{repository}/{checkpoint}" if checkpoint else repository,
        {"revision": folder.name},
    )


def _published(preset: PublishedMetric) -> list[str]:
    """The files of a checkpoint that is not a transformers folder."""
    return [name for name in (preset.checkpoint, preset.checkpoint_config) if name]


def _checkpoint_in(metric: str, location: Path) -> Path | None:
    """The checkpoint that is meant; None for a transformers folder.

    A folder may hold the files of several metrics, as the hub's own does: each is told by its name.
    """
    preset = METRICS[metric]
    if location.is_file():
        others = {preset.checkpoint: name for name, preset in METRICS.items() if name != metric}
        if location.name in others:
            raise UserError(f"{location} is {others[location.name]}, not {metric}.")
        return _with_config(metric, location)
    if preset.folder is None:
        return _with_config(metric, location / str(preset.checkpoint))
    if (location / CONFIG).is_file() and any(location.glob(SAFETENSORS)):
        return None
    expected = preset.checkpoint
    if expected is None:
        raise UserError(
            f"The {metric} scorer is not in {location} (no {CONFIG} with {SAFETENSORS}): "
            f"give --scorer {metric}=FOLDER, {preset.folder}."
        )
    if not (location / expected).is_file():
        raise UserError(
            f"The {metric} scorer is not in {location} (neither {expected} nor {CONFIG} with {SAFETENSORS}): "
            f"give --scorer {metric}=FOLDER, with {expected} of huggingface.co/{preset.hub_id} in it."
        )
    return location / expected


def _with_config(metric: str, checkpoint: Path) -> Path:
    """The checkpoint, if it is there, and the file of its architecture beside it where there must be one."""
    preset = METRICS[metric]
    for name in (checkpoint.name, preset.checkpoint_config):
        if name and not (checkpoint.parent / name).is_file():
            raise UserError(
                f"The {metric} scorer is not in {checkpoint.parent} (no {name}): give --scorer {metric}=FOLDER, "
                f"with {' and '.join(_published(preset))} of huggingface.co/{preset.hub_id} in it."
            )
    return checkpoint


def _companion(metric: str, source: ScorerSource) -> Path:
    """Folder of the preset's `companion_files`."""
    files = METRICS[metric].companion_files
    if isinstance(source.companion, Path):
        return source.companion
    if source.companion is None:
        raise UserError(f"{source.location} lacks one of {', '.join(files)} of {metric}.")
    pictures = "preprocessor_config.json" in files
    what = (
        f"The tokenizer and image processor of {metric}" if pictures else f"The tokenizer's files of {metric}"
    )
    if source.companion == CLIP_H:
        wanted, place = source.companion, "give --scorer clip=FOLDER"
    else:
        wanted = " ".join([source.companion, *files])
        place = f"give --scorer {metric}=FOLDER, with {' and '.join(_published(METRICS[metric]))} in it too"
    return hub_files(
        source.companion,
        files,
        what,
        f"run `hf download {wanted} --local-dir FOLDER` where there is a network, and {place}",
        wanted=SMALL_FILES,
    )
