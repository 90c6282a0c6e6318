"""Load a model to train, to encode with, or to sample from."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DiffusionPipeline
from huggingface_hub import snapshot_download

from ddecli.core.errors import UserError, first_sentence
from ddecli.core.files import read_json
from ddecli.core.paths import check_readable
from ddecli.core.run_files import check_run
from ddecli.core.world import WORLD_KEY
from ddecli.models.base import DiffusionModel
from ddecli.models.digests import ENCODERS, fingerprint
from ddecli.models.few_steps import takes_guidance
from ddecli.models.locate import local_folder, sha256_of
from ddecli.models.lora import changes_text_encoder, fuse_lora, load_lora
from ddecli.models.parts import (
    INDEX,
    PARTS,
    TEXT_ENCODERS,
    is_whole,
    parts_of,
    plain_folder,
    read_index,
)
from ddecli.models.presets import FAMILIES, ModelSource, resolve
from ddecli.models.quiet import hide_progress_bars, quiet_libraries
from ddecli.models.schedulers import scheduler_in
from ddecli.models.sd import StableDiffusion
from ddecli.models.sdxl import StableDiffusionXL
from ddecli.models.without_values import WithoutValues

FAMILY_CLASSES: dict[str, type[DiffusionModel]] = {"sd": StableDiffusion, "sdxl": StableDiffusionXL}
LARGEST_LATENT = 4096
"""Width and height of latents that a U-Net may have been made for; those of SDXL are 128."""
MOST_LAYERS = 1000
"""Layers that a configuration may ask for. To build a network of billions would never end."""
VAE_FILES = ["config.json", "diffusion_pytorch_model.safetensors"]


def load_for_sampling(
    name: str,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    like: DiffusionModel | None = None,
) -> DiffusionModel:
    """Load a model by preset, folder, run, checkpoint file or hub id, with a run's LoRA weights beside its base's.

    Args:
        device: of all its parts.
        like: a model loaded in the same way, whose autoencoder, text encoders and tokenizers serve here too where
            they are the same.

    Raises:
        UserError: unknown model, no network, no access, damaged files, parts that do not fit together, or LoRA weights
            whose base has changed.
    """
    source = resolve(name)
    folder = local_folder(source)
    shared = _shared(source, folder, like) if like else {}
    pipeline = _load_pipeline(source, folder, dtype, shared).to(device)
    return FAMILY_CLASSES[FAMILIES[type(pipeline).__name__]](pipeline, source, folder)


def _shared(source: ModelSource, folder: Path, like: DiffusionModel) -> dict[str, Any]:
    """The parts of a loaded model that another has as well, to the last bit; none if they are not all the same."""
    if any(changes_text_encoder(file) for file in (*source.loras, *like.source.loras)):
        return {}
    if folder != like.folder and fingerprint(folder) != like.fingerprint:
        return {}
    parts = {part: getattr(like.pipeline, part, None) for part in ENCODERS}
    return {name: part for name, part in parts.items() if part is not None}


def _load_pipeline(source: ModelSource, folder: Path, dtype: torch.dtype, parts: dict[str, Any]) -> Any:
    """The diffusers pipeline of a model, on the processor.

    Args:
        folder: where its files lie.
        parts: components to leave out (`vae=None`) or to replace.
    """
    plain = folder
    if not (folder / INDEX).is_file():
        raise UserError(f"{source.name} holds no diffusers pipeline (no {INDEX} in {folder}).")
    _check_bases(source, folder)
    _check_runs(source, folder)
    _check_whole(folder, [part for part, value in parts.items() if value is None])
    scheduler_in(folder)
    world = source.world or read_index(folder).get(WORLD_KEY)
    hide_progress_bars()
    try:
        _check_depth(folder)
        with plain_folder(folder) as plain, quiet_libraries(logging.CRITICAL), WithoutValues():
            # At weights in torch's own format diffusers logs an error, and loads them all the same.
            pipeline = DiffusionPipeline.from_pretrained(plain, dtype=dtype, local_files_only=True, **parts)
        pipeline.register_to_config(**{WORLD_KEY: world})  # diffusers drops it
        _check_family(pipeline, folder)
        _check_parts(pipeline, folder)
        for number, lora in enumerate(source.loras):
            if number:  # what an earlier run trained becomes part of the base
                fuse_lora(pipeline)
            load_lora(pipeline, lora, folder)
    except UserError:
        raise
    except Exception as error:  # what libraries raise of damaged files, they do not tell
        check_readable(folder)
        said = first_sentence(error).replace(str(plain), str(folder))
        raise UserError(f"The model in {folder} cannot be loaded: {said}") from error
    pipeline.set_progress_bar_config(disable=True)
    pipeline.maybe_convert_prompt = partial(_converted, pipeline.maybe_convert_prompt)
    return pipeline


def _converted(convert: Callable[..., Any], prompt: Any, tokenizer: Any) -> Any:
    """What the pipeline makes of prompts with embeddings of several vectors (textual inversion), if it knows any.

    It reads each prompt for them, which takes as long as encoding it does in a small model.
    """
    added = tokenizer.added_tokens_encoder  # made anew each time it is asked for
    return convert(prompt, tokenizer) if any(f"{token}_1" in added for token in added) else prompt


def load_model(
    name: str,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    encoders: bool = True,
    revision: str | None = None,
) -> DiffusionModel:
    """Load a model with everything that training or preparing needs.

    Args:
        device: of the autoencoder and text encoders; the U-Net, which preparing does not run, stays on the processor.
        encoders: False leaves out the text encoders, which training from a pair store does not use.
        revision: of a model of the hub, see `resolve`.

    Raises:
        UserError: as `load_for_sampling`, or a model that cannot be trained here.
    """
    source = resolve(name, revision)
    for lora in source.loras:
        if changes_text_encoder(lora):
            raise UserError(
                f"The LoRA weights in {lora} change the text encoder too: pairs are prepared and runs "
                "are trained with the base's own. Sample them, or train the base."
            )
    folder = local_folder(source)
    parts: dict[str, Any] = {}
    if not encoders:
        parts = {part: None for part in TEXT_ENCODERS if (folder / part).is_dir()}
    elif dtype == torch.float16 and source.float16_vae:
        parts["vae"] = _float16_vae(source.float16_vae)
    pipeline = _load_pipeline(source, folder, dtype, parts)
    for part in ("vae", *TEXT_ENCODERS):
        if getattr(pipeline, part, None) is not None:
            getattr(pipeline, part).to(device)
    if source.loras:
        fuse_lora(pipeline)
    if takes_guidance(pipeline.unet):
        raise UserError(
            f"The U-Net in {folder} takes the guidance as an input (a latent consistency model), which no loss here "
            "gives: train the model that it was distilled from."
        )
    family = FAMILIES[type(pipeline).__name__]
    if family == "sdxl" and dtype == torch.float16 and pipeline.vae.config.force_upcast:
        pipeline.vae.to(torch.float32)  # it overflows in float16; a repaired one's configuration says False
    model = FAMILY_CLASSES[family](pipeline, source, folder)
    _, height, width = model.latent_shape
    if height != width:
        raise UserError(
            f"The U-Net in {folder} was made for latents {width} wide and {height} high, and pairs are prepared and "
            "trained on as squares: take another model, or change the sample_size in its config.json."
        )
    return model


def _check_runs(source: ModelSource, folder: Path) -> None:
    """Refuse weights of a run that have changed since it ended."""
    for model in (*(lora.parent for lora in source.loras), folder):
        if model.name == "model" and (model.parent / "run.yaml").is_file():
            check_run(model.parent, "model")


def _check_bases(source: ModelSource, folder: Path) -> None:
    """Refuse LoRA weights on top of other weights than they were trained on."""
    for number, (lora, expected) in enumerate(zip(source.loras, source.bases, strict=True)):
        base = replace(source, loras=source.loras[:number])
        if expected is not None and sha256_of(base, folder) != expected:
            raise UserError(
                f"The weights of {folder} have changed since the LoRA run {lora.parents[1]} was trained on them (its "
                "run.yaml has their SHA-256): put the weights back that it was trained on, or train it again."
            )


def _float16_vae(hub_id: str) -> AutoencoderKL:
    """The autoencoder that stands in for one that overflows in float16."""
    try:
        folder = snapshot_download(hub_id, allow_patterns=VAE_FILES)
        return AutoencoderKL.from_pretrained(folder, torch_dtype=torch.float16, local_files_only=True)
    except Exception as error:  # of the hub's client, the network, or the files
        raise UserError(
            f"Encoding in float16 needs the autoencoder {hub_id}, because the model's own overflows: "
            f"fetch it where there is a network (hf download {hub_id}), or use --precision float32."
        ) from error


def _check_whole(folder: Path, left_out: Sequence[str]) -> None:
    """Refuse a folder that lacks a part that its index names, or that every pipeline has."""
    named = parts_of(folder)
    for part in PARTS:
        needed = part in named or not part.endswith("_2")
        if needed and part not in left_out and not is_whole(folder, [part]):
            check_readable(folder)
            raise UserError(
                f"The model in {folder} is not whole: its folder {part}/ is missing, or lacks its configuration or "
                "weights. Fetch the model again."
            )


def _check_depth(folder: Path) -> None:
    """Refuse a configuration with numbers of layers that no network has, before it is built."""
    for file in folder.glob("*/config.json"):
        for name, value in read_json(file, dict[str, Any], "fetch the model again").items():
            if "layers" in name and (most := max(_numbers(value), default=0)) > MOST_LAYERS:
                raise UserError(
                    f"{file} has a {name} of {str(most)[:20]}, and no network is so deep: put it right, or "
                    "fetch the model again."
                )


def _numbers(value: Any) -> Iterator[float]:
    """Those in a value of a configuration, in lists too."""
    if isinstance(value, list):
        for each in value:
            yield from _numbers(each)
    elif isinstance(value, int | float):
        yield value


def _check_family(pipeline: Any, folder: Path) -> None:
    """Refuse a pipeline whose U-Net is of another family than its model_index.json says."""
    kind = type(pipeline).__name__
    if kind not in FAMILIES:
        raise UserError(f"{folder} is a {kind}; supported are {' and '.join(FAMILIES)}.")
    found = "sdxl" if pipeline.unet.config.addition_embed_type == "text_time" else "sd"
    if FAMILIES[kind] != found:
        raise UserError(
            f"{folder} says that it is a {kind}, but its U-Net is one of {found}: "
            "put the right weights there, or correct its model_index.json."
        )


def _check_parts(pipeline: Any, folder: Path) -> None:
    """Refuse a U-Net beside an autoencoder or text encoders of another model."""
    unet, vae = pipeline.unet.config, pipeline.vae
    sides = unet.sample_size if isinstance(unet.sample_size, list | tuple) else [unet.sample_size] * 2
    if len(sides) != 2 or not all(isinstance(side, int) and 0 < side <= LARGEST_LATENT for side in sides):
        raise UserError(
            f"The U-Net in {folder} has the sample_size {str(unet.sample_size)[:60]}, which is no width and height of "
            "latents: put its config.json right, or fetch the model again."
        )
    if vae is not None and unet.in_channels != vae.config.latent_channels:
        raise UserError(
            f"The U-Net in {folder} takes {unet.in_channels} channels, its autoencoder makes "
            f"{vae.config.latent_channels}: it is no text-to-image model (inpainting has 9), or its parts are of "
            "different models."
        )
    encoders = [getattr(pipeline, part) for part in TEXT_ENCODERS if hasattr(pipeline, part)]
    if None in encoders:
        return
    width = sum(encoder.config.hidden_size for encoder in encoders)
    if unet.cross_attention_dim != width:
        raise UserError(
            f"The U-Net in {folder} takes text embeddings of width {unet.cross_attention_dim}, its text encoders make "
            f"{width}: its parts are of different models."
        )
