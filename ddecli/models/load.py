"""Load a model to train or encode with, or a pipeline to sample from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers import DiffusionPipeline
from diffusers.utils import logging as diffusers_logging
from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
)
from transformers.utils import logging as transformers_logging

from ddecli.core.errors import UserError
from ddecli.core.files import read_json
from ddecli.diffusion.schedule import NoiseSchedule
from ddecli.models.base import DiffusionModel
from ddecli.models.presets import FAMILIES, ModelSource, resolve
from ddecli.models.sd import StableDiffusion
from ddecli.models.sdxl import StableDiffusionXL

FAMILY_CLASSES: dict[str, type[DiffusionModel]] = {"sd": StableDiffusion, "sdxl": StableDiffusionXL}
TEXT_ENCODERS = ("text_encoder", "text_encoder_2")
SCHEDULER_FILES = ["scheduler/*.json"]
PIPELINE_FILES = ["*.json", "*.txt", "*/*.json", "*/*.txt", "*/*.safetensors"]


def load_pipeline(
    name: str, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32, **parts: Any
) -> Any:
    """Load a diffusers pipeline by preset, folder, run or hub id, with the run's LoRA weights if it has any.

    Args:
        parts: components to leave out (`vae=None`) or to replace.

    Raises:
        UserError: unknown model, no network, no access, or damaged files.
    """
    source = resolve(name)
    folder = local_folder(source)
    if not (folder / "model_index.json").is_file():
        raise UserError(f"{folder} holds no diffusers pipeline (no model_index.json).")
    if (folder / "safety_checker").is_dir() or "safety_checker" in (folder / "model_index.json").read_text():
        parts |= {"safety_checker": None, "requires_safety_checker": False}
    diffusers_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()
    try:
        pipeline = DiffusionPipeline.from_pretrained(folder, dtype=dtype, local_files_only=True, **parts)
        if source.lora:
            pipeline.load_lora_weights(source.lora, local_files_only=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(f"The model in {folder} cannot be loaded: {_first_line(error)}") from error
    if type(pipeline).__name__ not in FAMILIES:
        raise UserError(f"{name} is a {type(pipeline).__name__}; supported are {' and '.join(FAMILIES)}.")
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device)


def load_model(
    name: str, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32, encoders: bool = True
) -> DiffusionModel:
    """Load a model with everything that training or preparing needs.

    Args:
        encoders: False leaves out the text encoders, which training from a pair store does not use.

    Raises:
        UserError: as `load_pipeline`.
    """
    source = resolve(name)
    folder = local_folder(source)
    absent = {} if encoders else {part: None for part in TEXT_ENCODERS if (folder / part).is_dir()}
    pipeline = load_pipeline(name, device, dtype, **absent)
    if source.lora:  # what was trained before becomes part of the base
        pipeline.fuse_lora()
        pipeline.unload_lora_weights()
    return FAMILY_CLASSES[FAMILIES[type(pipeline).__name__]](pipeline, source, folder)


def load_schedule(name: str) -> NoiseSchedule:
    """The noise schedule of a model, from its scheduler's configuration alone: no weights are read.

    Raises:
        UserError: as `load_pipeline`, or a scheduler that has no discrete diffusion schedule.
    """
    folder = local_folder(resolve(name), SCHEDULER_FILES)
    kind = read_json(folder / "scheduler" / "scheduler_config.json").get("_class_name")
    if not hasattr(diffusers, str(kind)):
        raise UserError(f"The scheduler of {name} is a {kind}, which diffusers does not know.")
    return NoiseSchedule.from_scheduler(getattr(diffusers, kind).from_pretrained(folder / "scheduler"))


def local_folder(source: ModelSource, files: list[str] = PIPELINE_FILES) -> Path:
    """The folder a model's files lie in; of a hub id `files` are downloaded once, or taken from the local cache."""
    if Path(source.location).is_dir():
        return Path(source.location)
    if not source.location.count("/") == 1 or source.location.startswith("/"):
        raise UserError(f"{source.location} does not exist. Is the package installed whole?")
    try:
        return Path(snapshot_download(source.location, allow_patterns=files))
    except GatedRepoError as error:
        raise UserError(
            f"{source.location} is gated: accept its licence on its hub page and set HF_TOKEN, or give a folder."
        ) from error
    except RepositoryNotFoundError as error:
        raise UserError(f"The hub has no model {source.location} (or HF_TOKEN may not see it).") from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise UserError(
            f"{source.location} is not in the local cache and the hub cannot be reached. Download it where there is a "
            f"network (hf download {source.location}) and give its folder, or set HF_HOME to a cache that has it."
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]
