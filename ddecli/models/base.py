"""What every family of models says and does: its sizes, encode, predict, switch adapters off, save."""

from __future__ import annotations

import contextlib
import copy
import functools
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline, UNet2DConditionModel
from diffusers.utils import convert_state_dict_to_diffusers
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from torch import Tensor, nn

from ddecli.core.errors import UserError, read_by_others
from ddecli.core.world import TINY, WORLD_KEY
from ddecli.diffusion.schedule import ErrorUnit, NoiseSchedule
from ddecli.models.digests import fingerprint, older_fingerprints
from ddecli.models.kohya import LoraFormat, lora_files, save_kohya
from ddecli.models.presets import LORA_WEIGHTS, ModelSource, short_name
from ddecli.models.quiet import quiet_libraries
from ddecli.models.saved import save_base, save_unet

Conditioning = dict[str, Tensor]
LORA_TARGETS = ("to_q", "to_k", "to_v", "to_out.0")


class DiffusionModel(ABC):
    """A latent diffusion model with its parts; the U-Net is what is trained.

    Attributes:
        family: as `--model` and protocols call it.
        guidance_scale: of classifier-free guidance, when none is asked for.
        unet: the policy. Training may replace it by a wrapped one (several processes).
        schedule: the noise schedule the model was trained with.
        latent_shape: (C, H, W) of the pictures that the U-Net was made for.
        resolution: width of these pictures, and height but for models that are sampled only; pixels.
        folder: where the model's files lie.
    """

    family: str
    guidance_scale: float

    def __init__(self, pipeline: DiffusionPipeline, source: ModelSource, folder: Path) -> None:
        self.pipeline: Any = pipeline
        self.source = source
        self.folder = folder
        self.unet: Any = pipeline.unet
        self.schedule = NoiseSchedule.from_scheduler(pipeline.scheduler)
        size = self.unet.config.sample_size
        height, width = (size, size) if isinstance(size, int) else size
        self.latent_shape: tuple[int, int, int] = (self.unet.config.in_channels, height, width)
        self.resolution: int = width * pipeline.vae_scale_factor

    @functools.cached_property
    def fingerprint(self) -> str:
        """Identifies autoencoder and text encoders, hence which pair stores fit."""
        return fingerprint(self.folder)

    @functools.cached_property
    def fingerprints(self) -> set[str]:
        """All that such a store may say; those of earlier versions said it otherwise."""
        return {self.fingerprint, *older_fingerprints(self.folder)}

    @property
    def device(self) -> torch.device:
        """Where the U-Net lies."""
        return next(self.unet.parameters()).device

    @property
    def zeros_for_no_prompt(self) -> bool:
        """Whether sampling's unconditional side is zeros (as SDXL has it), not the encoded empty prompt."""
        return bool(self.pipeline.config.get("force_zeros_for_empty_prompt", False))

    @property
    def name(self) -> str:
        """The name the model was asked for by."""
        return self.source.name

    @property
    def world(self) -> str | None:
        """The world whose pictures it draws; None for real ones."""
        return self.pipeline.config.get(WORLD_KEY)

    @property
    def is_tiny(self) -> bool:
        """Whether this is a model of the built-in world, or a run that started from one."""
        return self.world == TINY

    @torch.no_grad()
    def encode_images(self, pixels: Tensor) -> Tensor:
        """Pictures (N, 3, H, W) in [-1, 1] to the latents' means (N, C, h, w) float32, scaled for the U-Net."""
        vae = self.pipeline.vae
        weight = next(vae.parameters())  # diffusers' own `device` and `dtype` look at all modules, each time
        pixels = pixels.to(weight.device, weight.dtype)
        latents = vae.encode(pixels).latent_dist.mean.float()
        return (latents - (vae.config.get("shift_factor") or 0.0)) * vae.config.scaling_factor

    @abstractmethod
    def encode_prompts(self, prompts: list[str]) -> Conditioning:
        """Prompts to what `predict` is conditioned on, each (N, ...) float32. Long prompts are cut, as in sampling."""

    @property
    @abstractmethod
    def conditioning_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of what `encode_prompts` gives for one prompt, by name; known without text encoders."""

    @abstractmethod
    def predict(self, latents: Tensor, t: Tensor, conditioning: Conditioning, sizes: Tensor) -> Tensor:
        """Run the U-Net.

        Args:
            latents: noisy latents (N, C, H, W).
            t: timesteps (N,) long, diffusers' indices.
            conditioning: of `encode_prompts`, each (N, ...).
            sizes: (N, 6) original height and width, crop top and left, target height and width; used by SDXL.

        Returns:
            (N, C, H, W): whatever the model predicts (noise, v or the clean latents).
        """

    def truncated(self, prompts: Sequence[str]) -> list[bool]:
        """Whether each prompt has more tokens than `max_tokens`, start and end marks included: its end is cut.

        Raises:
            UserError: the tokenizer is damaged.
        """
        with (
            read_by_others("The model's tokenizer cannot be used", "fetch the model again"),
            quiet_libraries(),
        ):
            return [len(ids) > self.max_tokens for ids in self.pipeline.tokenizer(list(prompts)).input_ids]

    @property
    def max_tokens(self) -> int:
        """Tokens of a prompt that the text encoder sees."""
        return self.pipeline.tokenizer.model_max_length

    def release_unet(self) -> None:
        """Give the U-Net up, so that another model may have the memory, and the other parts."""
        self.unet = self.pipeline.unet = None

    def with_errors_of(self, unit: ErrorUnit) -> DiffusionModel:
        """The same model, weights and all, whose schedule forms errors in this unit."""
        twin = copy.copy(self)
        twin.schedule = replace(self.schedule, error_unit=unit)
        return twin

    def add_lora(self, rank: int, seed: int) -> None:
        """Freeze the U-Net and add LoRA adapters (Hu et al. 2021) of this rank to its attention, alpha = rank."""
        self.unet.requires_grad_(False)
        config = LoraConfig(
            r=rank, lora_alpha=rank, init_lora_weights="gaussian", target_modules=list(LORA_TARGETS)
        )
        # Adapters are drawn on the processor, whatever the U-Net's device; no other generator is touched.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            self.unet.add_adapter(config)

    @property
    def has_lora(self) -> bool:
        """Whether adapters were added."""
        return bool(getattr(self.pipeline.unet, "peft_config", None))

    def trainable(self) -> dict[str, nn.Parameter]:
        """Parameters that are trained, by name."""
        return {name: value for name, value in self.pipeline.unet.named_parameters() if value.requires_grad}

    def reference(self, dtype: torch.dtype) -> DiffusionModel:
        """The frozen reference. With LoRA the same U-Net (see `as_reference`), never a second one.

        In full training a copy, see `hold_frozen_in`. Reference and policy agree to the last bit as long as their
        weights do.
        """
        twin = copy.copy(self)
        if self.has_lora:
            twin.unet = self.pipeline.unet  # not the wrapped one: several processes need not agree on it
            return twin
        twin.unet = copy.deepcopy(self.pipeline.unet).requires_grad_(False)
        hold_frozen_in(dtype, twin.unet)
        return twin

    @contextlib.contextmanager
    def as_reference(self) -> Iterator[None]:
        """Adapters off within the block, on again after it, whatever happens in it."""
        if not self.has_lora:
            yield
            return
        self.pipeline.unet.disable_adapters()
        try:
            yield
        finally:
            self.pipeline.unet.enable_adapters()

    def save(
        self,
        folder: Path,
        weights: Mapping[str, Tensor] | None = None,
        lora_format: LoraFormat = "diffusers",
        name: str = "lora",
    ) -> None:
        """Write what stock diffusers loads: LoRA weights, or the base's parts with the trained U-Net.

        Args:
            folder: where to.
            weights: values of `trainable()`, by name; None takes those the U-Net has now.
            lora_format: the names that LoRA weights get; of both, stock diffusers reads its own.
            name: of the LoRA, in the name of a file with kohya's names.
        """
        unet = self.pipeline.unet
        if self.has_lora:
            state = get_peft_model_state_dict(unet, state_dict=weights)
            folder.mkdir(parents=True, exist_ok=True)
            for file in lora_files(lora_format, name):
                if file == LORA_WEIGHTS:
                    layers = convert_state_dict_to_diffusers(state)
                    type(self.pipeline).save_lora_weights(folder, unet_lora_layers=layers)
                else:
                    save_kohya(folder / file, unet, state, short_name(self.name), self.family == "sdxl")
        else:
            save_base(self.folder, folder)
            save_unet(unet, folder, weights=weights)


def hold_frozen_in(dtype: torch.dtype, unet: nn.Module) -> None:
    """Keep the matrices that are not trained in the precision they are multiplied in anyway under autocast.

    The same numbers come out, to the last bit, without a copy of every matrix in each forward pass. Normalisation
    stays in float32, as autocast leaves it.
    """
    for module in unet.modules():
        if isinstance(module, nn.Linear | nn.Conv2d) and not module.weight.requires_grad:
            module.to(dtype)


def load_unet_weights(unet: UNet2DConditionModel, state: dict[str, Tensor]) -> None:
    """Load the trainable part of a U-Net's state.

    Raises:
        UserError: the state belongs to another U-Net.
    """
    missing = [name for name in state if name not in dict(unet.named_parameters())]
    if missing:
        raise UserError(f"The checkpoint does not fit the model: it has no parameter {missing[0]}.")
    unet.load_state_dict(state, strict=False)
