"""Models by name: a preset, a diffusers folder, a run, a checkpoint file or a hub id. Imports no torch.

Any of them with a file of LoRA weights on top is `NAME+FILE`, as in `sd15+style.safetensors`.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

from ddecli.core.errors import UserError
from ddecli.core.files import read_json, read_yaml
from ddecli.core.paths import readable_file
from ddecli.core.world import SMALL_PIXELS, TINY, WORLD_KEY, require_edition
from ddecli.models.parts import read_index
from ddecli.models.weight_files import checkpoint_family

FAMILIES = {"StableDiffusionPipeline": "sd", "StableDiffusionXLPipeline": "sdxl"}
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
REVISION = re.compile(r"[\w.-]+(/[\w.-]+)*")
LORA_WEIGHTS = "pytorch_lora_weights.safetensors"


@dataclass(frozen=True)
class ModelSource:
    """Where a model comes from.

    location: a diffusers folder, a single checkpoint file (.safetensors), or a hub id.
    family: `sd` or `sdxl`; None for a hub id whose model_index.json has not been read.
    revision: of a hub id, a commit, branch or tag; None takes what its main branch holds now.
    loras: files of LoRA weights to load on top, of runs trained with LoRA, one after the other.
    bases: for each of them, the SHA-256 of the weights it was trained on top of; None where it was not recorded.
    float16_vae: hub id of the autoencoder to encode with in float16, where the model's own overflows.
    world: the world whose pictures it draws, as its model_index.json records it; None for real ones.
    """

    name: str
    location: str
    family: str | None
    resolution: int | None
    loras: tuple[Path, ...] = ()
    float16_vae: str | None = None
    world: str | None = None
    revision: str | None = None
    bases: tuple[str | None, ...] = ()

    @property
    def is_tiny(self) -> bool:
        """Whether this is a model of the built-in world, or a run that started from one."""
        return self.world == TINY

    @property
    def is_small(self) -> bool:
        """Whether a whole batch fits into memory at once, whatever the machine."""
        return self.resolution is not None and self.resolution <= SMALL_PIXELS


@functools.cache
def presets() -> dict[str, dict[str, Any]]:
    """The presets of presets.yaml by name."""
    return read_yaml(Path(str(resources.files("ddecli.models").joinpath("presets.yaml"))))


def builtin_weights(name: str) -> Path:
    """Folder of a model that ships inside the package."""
    return Path(str(resources.files("ddecli.tinyworld").joinpath("weights", name)))


def resolve(name: str, revision: str | None = None, above: tuple[Path, ...] = ()) -> ModelSource:
    """Find a model by preset name, folder (a diffusers pipeline or a run), checkpoint file or hub id.

    Args:
        name: of a model of the hub it may end in `@` and a revision; `+` and a file of LoRA weights may follow, or
            the run that trained them.
        revision: of a model of the hub, instead of the one in its name.
        above: folders of the runs that were trained on it.

    Raises:
        UserError: no such preset, folder or file, a folder that holds neither a pipeline nor a run, or a file that
            is no checkpoint.
    """
    known = presets()
    if name in known:
        return _at(_preset(name, known[name]), revision)
    folder = Path(name)
    if folder.is_dir():
        return _run(folder, above) if (folder / "run.yaml").is_file() else _pipeline_folder(name, folder)
    if folder.exists():
        return ModelSource(name, name, family=checkpoint_family(readable_file(folder)), resolution=None)
    if (split := with_lora(name)) is not None:
        below = resolve(split[0], revision, above)
        return replace(below, name=name, loras=(*below.loras, _lora_at(split[1])), bases=(*below.bases, None))
    repository, at, named = name.partition("@")
    is_id = HUB_ID.fullmatch(repository) and (REVISION.fullmatch(named) if at else True)
    if is_id and not name.startswith((".", "/")) and not Path(repository).parent.is_dir():
        return _at(ModelSource(name, name, family=None, resolution=None), revision)
    model, plus, file = name.partition("+")
    if model and plus:
        raise UserError(
            f"{name}: there is no file of LoRA weights {file}; a model with LoRA weights on top is named MODEL+FILE."
        )
    raise UserError(
        f"Unknown model {name!r}: it is no preset ({', '.join(known)}), no folder or file, and no hub id such as "
        "owner/model or owner/model@revision."
    )


def with_lora(name: str) -> tuple[str, Path] | None:
    """A model's name in two: the model below, and the file or run whose LoRA weights are on top; None of others.

    Either may have a `+` in its own name: the shortest end that exists is taken for the weights.
    """
    if "+" not in name or Path(name).exists():
        return None
    places = [number for number, letter in enumerate(name) if letter == "+" and number]
    ends = ((name[:place], name[place + 1 :]) for place in reversed(places))
    return next(((model, Path(file)) for model, file in ends if file and Path(file).exists()), None)


def short_name(name: str) -> str:
    """What runs, pair stores and images of a model are called after: the last part of its name, and its revision."""
    if Path(name).exists():
        return Path(name).resolve().name
    if (split := with_lora(name)) is not None:
        return f"{short_name(split[0])}+{split[1].resolve().name.removesuffix('.safetensors')}"
    repository, at, revision = name.partition("@")
    return Path(repository).name + at + revision.replace("/", "-")


def _at(source: ModelSource, revision: str | None) -> ModelSource:
    """A model of the hub at a revision: the one that is given, else the one in its location."""
    if Path(source.location).exists():
        return source
    repository, _, named = source.location.partition("@")
    return replace(source, location=repository, revision=revision or named or None)


def _preset(name: str, entry: dict[str, Any]) -> ModelSource:
    source = entry["source"]
    location = (
        str(builtin_weights(source.removeprefix("builtin:"))) if source.startswith("builtin:") else source
    )
    settings = {key: value for key, value in entry.items() if key not in ("source", "license")}
    if Path(location).is_dir():
        settings["world"] = read_index(Path(location)).get(WORLD_KEY)
    return ModelSource(name, location, **settings)


def _pipeline_folder(name: str, folder: Path) -> ModelSource:
    index = folder / "model_index.json"
    if (folder / LORA_WEIGHTS).is_file():
        raise UserError(
            f"{folder} holds LoRA weights without their base model: give the folder of the run that trained them, "
            f"such as {folder.resolve().parent}."
        )
    if not index.is_file():
        raise UserError(
            f"{folder} holds no model: neither model_index.json (a diffusers pipeline) nor run.yaml (a run)."
        )
    values = read_index(folder)
    kind = values.get("_class_name")
    if kind not in FAMILIES:
        raise UserError(f"{folder} is a {kind}; supported are {' and '.join(FAMILIES)}.")
    require_edition(str(folder), values.get(WORLD_KEY))
    return ModelSource(name, str(folder), FAMILIES[kind], _resolution(folder), world=values.get(WORLD_KEY))


def _resolution(folder: Path) -> int | None:
    """The resolution a pipeline was made for: the U-Net's sample size times the autoencoder's factor."""
    try:
        unet, vae = (read_json(folder / part / "config.json", dict[str, Any]) for part in ("unet", "vae"))
        return int(unet["sample_size"]) * 2 ** (len(vae["block_out_channels"]) - 1)
    except (UserError, ValueError, LookupError, TypeError, ArithmeticError):
        return None


def _lora_at(path: Path) -> Path:
    """The LoRA weights at a path that somebody gave: a file, or a run that was trained with LoRA."""
    if path.is_dir():
        return _lora_file(path / "model" if (path / "run.yaml").is_file() else path)
    if path.suffix.lower() != ".safetensors":
        raise UserError(
            f"{path} is no .safetensors file; LoRA weights in another format may hold code, convert them first."
        )
    return readable_file(path)


def _lora_file(folder: Path) -> Path:
    """The LoRA weights that a run left, under diffusers' name for them or as the only ones there."""
    if (folder / LORA_WEIGHTS).is_file():
        return folder / LORA_WEIGHTS
    files = sorted(folder.glob("*.safetensors"))
    if len(files) == 1:
        return files[0]
    found = (
        f"several .safetensors files and none of them named {LORA_WEIGHTS}" if files else "no LoRA weights"
    )
    raise UserError(
        f"{folder} holds no diffusers pipeline (model_index.json), and {found}: put one there, whoever wrote it."
    )


def _run(folder: Path, above: tuple[Path, ...]) -> ModelSource:
    model = folder / "model"
    if not model.is_dir():
        raise UserError(
            f"{folder} is a run without a finished model; go on with ddecli train --resume --out {folder}."
        )
    settings = read_yaml(folder / "run.yaml")
    if "model" not in settings:
        raise UserError(f"{folder / 'run.yaml'} is damaged: it does not say what was trained.")
    if folder.resolve() in above:
        raise UserError(f"{folder / 'run.yaml'} is damaged: it was trained on what was trained on it.")
    above = (*above, folder.resolve())
    base = resolve(str(settings["model"]), settings.get("model_revision"), above)
    if not (model / "model_index.json").is_file():
        bases = (*base.bases, settings.get("model_sha256"))
        return replace(base, name=str(folder), loras=(*base.loras, _lora_file(model)), bases=bases)
    return replace(base, name=str(folder), location=str(model), revision=None, loras=(), bases=())
