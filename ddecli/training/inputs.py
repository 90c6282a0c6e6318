"""What a run starts from: the policy on its device, and the pair store that fits it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from ddecli.core.console import console
from ddecli.core.errors import UserError
from ddecli.data.draws import Draws
from ddecli.data.store import PairStore
from ddecli.models.base import DiffusionModel, hold_frozen_in
from ddecli.models.few_steps import few_steps_of
from ddecli.models.load import load_model
from ddecli.objectives.registry import build_sampler
from ddecli.training.batches import Batches
from ddecli.training.settings import TrainSettings
from ddecli.training.sharding import is_sharded_launch

MAX_COMPILED = 64
"""Versions of a transformer block that `--compile` may make: with and without gradient or adapters, for each
width and micro-batch size. Past torch's own limit of 8 one of policy and reference would run uncompiled."""


def load_policy(settings: TrainSettings, device: torch.device, dtype: torch.dtype) -> DiffusionModel:
    """The policy on the device; everything but the U-Net is left out or stays on the processor.

    What is trained is float32. Under LoRA the matrices that are not are held in `dtype`, the forward passes' precision.
    """
    model = load_model(settings.model, "cpu", encoders=False, revision=settings.model_revision)
    few = few_steps_of(model.pipeline)
    if few is not None and os.environ.get("RANK", "0") == "0":
        console.print(
            f"{model.name} was made for few steps ({few.reason}): it is trained at all timesteps, as if it were not, "
            "which may cost it that."
        )
    model = model.with_errors_of(settings.error)
    unet = model.unet.requires_grad_(True).train()
    if settings.lora:
        model.add_lora(settings.lora, settings.seed)
    if is_sharded_launch():  # FSDP2 shards contiguous weights of one precision only
        unet.to(device)
    else:
        hold_frozen_in(dtype, unet)
        unet.to(device, memory_format=torch.channels_last)
    if settings.gradient_checkpointing:
        unet.enable_gradient_checkpointing()
    return model


def load_reference(
    settings: TrainSettings, policy: DiffusionModel, device: torch.device, dtype: torch.dtype
) -> DiffusionModel:
    """A frozen reference that is another model than the run starts from; of the U-Net alone.

    Raises:
        UserError: none, or one of other latents, prompts or timesteps than the policy.
    """
    model = load_model(str(settings.reference_model), "cpu", encoders=False).with_errors_of(settings.error)
    same = torch.equal(model.schedule.alphas_cumprod, policy.schedule.alphas_cumprod)
    if not (same and model.fingerprints & policy.fingerprints and model.latent_shape == policy.latent_shape):
        raise UserError(
            f"{settings.reference_model} cannot be the reference of {settings.model}: its autoencoder, text encoders "
            "or noise schedule are others."
        )
    hold_frozen_in(dtype, model.unet.requires_grad_(False).train())
    model.unet.to(device, memory_format=torch.channels_last)
    return model


def open_pairs(
    folder: str | None, settings: TrainSettings, model: DiffusionModel, need_losers: bool = True
) -> PairStore:
    """A pair store that a run trains or is evaluated on.

    Raises:
        UserError: none, a damaged one, one of another model or resolution, or one without losers that are needed.
    """
    store = PairStore.open(Path(folder or ""), model.fingerprints)
    if need_losers and store.rejected_index is None:
        raise UserError(
            f"{folder} holds pictures with captions, and no rejected ones to compare them with: train with --loss sft, "
            "or let the model draw those (--loss spin, or --pairs self-play with any loss)."
        )
    if store.latent_shape != model.latent_shape:
        raise UserError(
            f"{folder} holds latents of shape {store.latent_shape}, the model works on "
            f"{model.latent_shape}: prepare the pairs again with --model {settings.model}."
        )
    return store


def open_batches(
    settings: TrainSettings, model: DiffusionModel, store: PairStore, device: torch.device
) -> Batches:
    """The batches of a run, by the numbers of its draws."""
    sampler = build_sampler(settings.loss, model.schedule.num_timesteps, settings.segment, settings.gamma)
    draws = Draws(len(store), settings.seed, sampler, store.latent_shape, settings.prompt_dropout)
    return Batches(
        store,
        draws,
        device,
        own_sizes=settings.size_condition == "own",
        zeros_for_no_prompt=settings.dropped_prompt == "unconditional" and model.zeros_for_no_prompt,
        strengths=_strengths(store) if settings.labels == "soft" else None,
        noise_seeds=_noise_seeds(store, model) if settings.noise == "kept" else None,
    )


def _strengths(store: PairStore) -> Tensor:
    """Those of the labels of a store. Raises UserError where it has none."""
    if store.strengths is None:
        raise UserError(
            f"{store.folder} holds no strengths of labels, which --labels soft needs: its data name winners and no "
            "votes, or it was prepared by an earlier version. Prepare data that have votes or shares, or leave out "
            "--labels soft."
        )
    if bool((store.strengths == 1).all()) and os.environ.get("RANK", "0") == "0":
        console.print(f"Every label of {store.folder} is certain: --labels soft is the same as hard.")
    return store.strengths


def _noise_seeds(store: PairStore, model: DiffusionModel) -> Tensor:
    """Those of a store's pictures. Raises UserError where they are not known, or would give the model other noise."""
    drawn = store.manifest.get("drawn")
    if store.noise_seeds is None or drawn is None:
        raise UserError(
            f"{store.folder} does not know the noise that its pictures were drawn from, which --noise kept needs: it "
            "is kept of images that ddecli draws (prepare --generate, or --data with a scored sample)."
        )
    own = {"family": model.family, "resolution": model.resolution}
    if drawn != own:
        said = [f"{each['family']} at {each['resolution']} pixels" for each in (drawn, own)]
        raise UserError(
            f"--noise kept: the pictures of {store.folder} were drawn by a model of the family {said[0]}, and what is "
            f"trained is {said[1]}: its noise is another. Leave --noise kept out."
        )
    return store.noise_seeds


def micro_batches(settings: TrainSettings, step: int, process: int, processes: int) -> list[range]:
    """A process's share of the draws of global batch `step`, cut into micro-batches."""
    share = settings.batch_size // processes
    first = step * settings.batch_size + process * share
    stop, size = first + share, settings.micro_batch
    return [range(start, min(start + size, stop)) for start in range(first, stop, size)]


def compile_blocks(models: Iterable[DiffusionModel]) -> None:
    """`--compile`: the transformer blocks of every U-Net among the models."""
    torch._dynamo.config.recompile_limit = MAX_COMPILED
    for unet in {id(model.unet): model.unet for model in models}.values():
        unet.compile_repeated_blocks()
