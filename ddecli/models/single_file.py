"""Single checkpoint files, as web interfaces use them: converted once to a diffusers folder, which is kept.

What such a file lacks is taken from the diffusers folder beside it: configurations and tokenizers, and networks that
it does not hold, such as an autoencoder. Without a folder beside it, configurations and tokenizers are those of the
hub's repository of its family.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, StableDiffusionXLPipeline
from huggingface_hub import cached_assets_path, constants
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled
from safetensors.torch import load_file, save_file
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from ddecli.core.console import console
from ddecli.core.errors import UserError, first_sentence
from ddecli.core.files import atomic_folder
from ddecli.core.paths import readable_file
from ddecli.models.parts import INDEX, TOKENIZERS, loaded_files, plain_folder, read_index, weights_of
from ddecli.models.prediction import check_prediction, configuration_beside, said_prediction
from ddecli.models.presets import FAMILIES
from ddecli.models.quiet import quiet_libraries
from ddecli.models.weight_files import (
    WRAPPING,
    checkpoint_family,
    is_wrapped,
    missing_parts,
    tensor_dtypes,
)

PIPELINES: dict[str, Any] = {"sd": StableDiffusionPipeline, "sdxl": StableDiffusionXLPipeline}
NETWORKS: dict[str, Any] = {
    "vae": AutoencoderKL, "text_encoder": CLIPTextModel, "text_encoder_2": CLIPTextModelWithProjection,
}  # fmt: skip
NAMES = {"vae": "autoencoder", "text_encoder": "text encoder", "text_encoder_2": "second text encoder"}
DTYPES = {"F16": torch.float16, "BF16": torch.bfloat16}
RULES = "2"
"""Changes when files are converted in another way than before: what was kept is then made anew."""


def pipeline_folder(file: Path) -> Path:
    """The diffusers folder of a checkpoint file, converted at first use and kept in the Hugging Face cache.

    Raises:
        UserError: no checkpoint, configurations of another family, networks that are nowhere, or no configurations at
            hand and no network.
    """
    family = checkpoint_family(file)
    beside = _folder_beside(file)
    if beside is not None:
        found = FAMILIES.get(read_index(beside).get("_class_name") or "")
        if found != family:
            raise UserError(
                f"{file} is a checkpoint of {family}, but the folder {beside} beside it is one of "
                f"{found or 'another family'}: put the right configurations there."
            )
    missing = missing_parts(file, family)
    absent = [NAMES[part] for part in missing if beside is None or not weights_of(beside, part)]
    if absent:
        raise UserError(
            f"{file} holds no {' and no '.join(absent)}: put a diffusers folder that has one beside it, as "
            f"{beside or file.with_suffix('')}."
        )
    state = file.stat()
    identity = (
        f"{RULES} {file.resolve()} {state.st_size} {state.st_mtime_ns} {_beside(file, beside, missing)}"
    )
    digest = hashlib.sha256(identity.encode()).hexdigest()[:16]
    folder = cached_assets_path(
        "ddecli", "single-files", f"{file.stem}-{digest}", assets_dir=constants.HF_ASSETS_CACHE
    )
    if not (folder / INDEX).is_file():
        console.print(f"Converting {file} once, into {folder}.")
        with atomic_folder(folder) as temporary:
            pipeline = _load(file, family, beside, missing, temporary)
            pipeline.save_pretrained(temporary)
            if beside is not None:
                _keep_tokenizers(beside, temporary)
    return folder


def _keep_tokenizers(beside: Path, folder: Path) -> None:
    """Put the tokenizers there as they lie beside the file: saved anew they would pass for others."""
    for part in TOKENIZERS:
        for name, path in loaded_files(beside, part).items():
            shutil.copyfile(path, folder / part / name)


def _folder_beside(file: Path) -> Path | None:
    """A diffusers folder of the file's name without its ending, or the one the file lies in."""
    candidates = (file.with_suffix(""), file.parent)
    return next((folder for folder in candidates if (folder / INDEX).is_file()), None)


def _beside(file: Path, folder: Path | None, missing: list[str]) -> str:
    """What decides the conversion besides the file: SHA-256 of configurations, vocabularies and networks taken."""
    digest = hashlib.sha256()
    texts = [path for path in [configuration_beside(file)] if path]
    if folder is not None:
        texts += [path for path in folder.glob("*/*") if path.suffix in {".json", ".txt"}]
        for path in (path.resolve() for part in missing for path in weights_of(folder, part)):
            digest.update(f"{path} {path.stat().st_size} {path.stat().st_mtime_ns}".encode())
    for path in sorted(texts):
        digest.update(readable_file(path).read_bytes())
    return digest.hexdigest()


def _load(file: Path, family: str, beside: Path | None, missing: list[str], temporary: Path) -> Any:
    """The pipeline of a file.

    Args:
        beside: a diffusers folder of its family.
        missing: networks that are taken from there.
        temporary: an empty folder, on a disk that has room for the model.
    """
    kinds = tensor_dtypes(file)
    dtype = DTYPES.get(next(iter(kinds)), torch.float32) if len(kinds) == 1 else torch.float32
    said = said_prediction(file)
    try:
        with (
            _as_diffusers_reads_it(file, temporary) as readable,
            _configurations(beside) as config,
            quiet_libraries(),
        ):
            taken = {
                part: NETWORKS[part].from_pretrained(config, subfolder=part, torch_dtype=dtype)
                for part in missing
            }
            pipeline = PIPELINES[family].from_single_file(str(readable), config=config, dtype=dtype, **taken)
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, HfHubHTTPError) as error:
        raise UserError(
            f"{file} needs the configurations and tokenizers of its family, which are neither in the local cache "
            f"nor can be fetched: put a diffusers folder of the same architecture beside it, as {file.with_suffix('')}."
        ) from error
    except UserError:
        raise
    except Exception as error:  # what libraries raise of damaged files, they do not tell
        raise UserError(
            f"{file} cannot be loaded as a checkpoint of {family}: {first_sentence(error)}"
        ) from error
    check_prediction(file, said, pipeline.scheduler.config.get("prediction_type", "epsilon"), beside)
    if any(pipeline.scheduler.config.get(name) != value for name, value in said.scheduler.items()):
        console.print(f"It predicts {said.kind}: {said.source} says so.")
        pipeline.scheduler = DDIMScheduler.from_config(
            pipeline.scheduler.config, clip_sample=False, **said.scheduler
        )
    return pipeline


@contextlib.contextmanager
def _as_diffusers_reads_it(file: Path, temporary: Path) -> Iterator[Path]:
    """The file under a name and with names in it that diffusers knows, for as long as the block lasts."""
    readable = temporary / "checkpoint.safetensors"
    if is_wrapped(file):
        save_file({name.removeprefix(WRAPPING): value for name, value in load_file(file).items()}, readable)
    else:
        readable.symlink_to(file.resolve())
    try:
        yield readable
    finally:
        readable.unlink()


@contextlib.contextmanager
def _configurations(beside: Path | None) -> Iterator[str | None]:
    """The folder that diffusers takes configurations from; None lets it take those of the hub."""
    if beside is None:
        yield None
        return
    with plain_folder(beside) as plain:
        yield str(plain)
