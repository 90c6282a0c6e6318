"""Single checkpoint files, as web interfaces use them: converted once to a diffusers folder, which is kept.

What such a file lacks (configurations and tokenizers) is taken from the diffusers folder beside it, or from the
hub's repository of its family.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline, StableDiffusionXLPipeline
from huggingface_hub import cached_assets_path, constants
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

from ddecli.core.console import console
from ddecli.core.errors import UserError, first_sentence
from ddecli.core.files import atomic_folder, read_json
from ddecli.models.presets import FAMILIES
from ddecli.models.weight_files import checkpoint_family, tensor_dtypes, tensor_shapes

PIPELINES: dict[str, Any] = {"sd": StableDiffusionPipeline, "sdxl": StableDiffusionXLPipeline}
DTYPES = {"F16": torch.float16, "BF16": torch.bfloat16}
V_PREDICTION, ZERO_TERMINAL_SNR = "v_pred", "ztsnr"
"""Names of empty tensors by which such files say that they predict v, or were trained with zero terminal SNR."""


def pipeline_folder(file: Path) -> Path:
    """The diffusers folder of a checkpoint file, converted at first use and kept in the Hugging Face cache.

    Raises:
        UserError: no checkpoint, configurations of another family, or none at hand and no network.
    """
    family = checkpoint_family(file)
    config = _folder_beside(file)
    if config is not None:
        found = FAMILIES.get(read_json(config / "model_index.json").get("_class_name"))
        if found != family:
            raise UserError(
                f"{file} is a checkpoint of {family}, but the folder {config} beside it is one of "
                f"{found or 'another family'}: put the right configurations there."
            )
    state = file.stat()
    identity = f"{file.resolve()} {state.st_size} {state.st_mtime_ns} {_configurations(config)}"
    digest = hashlib.sha256(identity.encode()).hexdigest()[:16]
    folder = cached_assets_path(
        "ddecli", "single-files", f"{file.stem}-{digest}", assets_dir=constants.HF_ASSETS_CACHE
    )
    if not (folder / "model_index.json").is_file():
        console.print(f"Converting {file} once, into {folder}.")
        pipeline = _load(file, family, config)
        with atomic_folder(folder) as temporary:
            pipeline.save_pretrained(temporary)
    return folder


def _folder_beside(file: Path) -> Path | None:
    """A diffusers folder of the file's name without its ending, or the one the file lies in."""
    candidates = (file.with_suffix(""), file.parent)
    return next((folder for folder in candidates if (folder / "model_index.json").is_file()), None)


def _configurations(config: Path | None) -> str:
    """What decides the conversion besides the file: SHA-256 of all configurations and vocabularies."""
    digest = hashlib.sha256()
    for path in sorted(config.glob("*/*")) if config else ():
        if path.suffix in {".json", ".txt"}:
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _load(file: Path, family: str, config: Path | None) -> Any:
    kinds = tensor_dtypes(file)
    dtype = DTYPES.get(next(iter(kinds)), torch.float32) if len(kinds) == 1 else torch.float32
    try:
        pipeline = PIPELINES[family].from_single_file(
            str(file), config=str(config) if config else None, dtype=dtype
        )
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, HfHubHTTPError) as error:
        raise UserError(
            f"{file} needs the configurations and tokenizers of its family, which are neither in the local cache "
            f"nor can be fetched: put a diffusers folder of the same architecture beside it, as {file.with_suffix('')}."
        ) from error
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise UserError(
            f"{file} cannot be loaded as a checkpoint of {family}: {first_sentence(error)}"
        ) from error
    names = tensor_shapes(file)
    if V_PREDICTION in names:
        zero_snr = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
        pipeline.scheduler = DDIMScheduler.from_config(
            pipeline.scheduler.config,
            prediction_type="v_prediction",
            clip_sample=False,
            **(zero_snr if ZERO_TERMINAL_SNR in names else {}),
        )
    return pipeline
