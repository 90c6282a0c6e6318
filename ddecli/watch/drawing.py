"""The policy as a model that `sample` can draw with, in the middle of its training and without text encoders."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from ddecli.models.base import DiffusionModel
from ddecli.models.load import load_model
from ddecli.sampling.prompts import PromptSet
from ddecli.training.settings import TrainSettings
from ddecli.training.weight_average import WeightAverage

Autocast = Callable[[], contextlib.AbstractContextManager[None]]
Encoded = tuple[Tensor | None, ...]
"""What a pipeline's `encode_prompt` returns, each (N, ...): a row a prompt."""


class Prompts:
    """A pipeline's `encode_prompt` for prompts that were encoded before: training holds no text encoders."""

    def __init__(self, pipeline: Any, prompts: PromptSet) -> None:
        self.row = {prompt: number for number, prompt in enumerate(prompts.prompts)}
        with torch.no_grad():
            self.encoded: Encoded = pipeline.encode_prompt(
                prompt=list(prompts.prompts),
                device=pipeline.device,
                num_images_per_prompt=1,
                do_classifier_free_guidance=True,
            )

    def __call__(self, prompt: list[str], *given: Any, **named: Any) -> Encoded:
        """The rows of these prompts."""
        rows = [self.row[each] for each in prompt]
        return tuple(None if part is None else part[rows] for part in self.encoded)


def load_base(settings: TrainSettings, device: torch.device) -> DiffusionModel:
    """The model that the run starts from, whole, in float32."""
    base = load_model(settings.model, device, revision=settings.model_revision)
    base.pipeline.to(device)
    return base


def drawing_model(model: DiffusionModel, prompts: Prompts, device: torch.device) -> DiffusionModel:
    """A model with the same weights, whose pipeline has these prompts for its text encoders and its own scheduler."""
    twin, pipeline = copy.copy(model), copy.copy(model.pipeline)
    pipeline.encode_prompt = prompts
    pipeline.vae.to(device)
    twin.pipeline, twin.unet = pipeline, pipeline.unet
    return twin


@contextlib.contextmanager
def as_when_sampled(unet: nn.Module, autocast: Autocast, average: WeightAverage | None) -> Iterator[None]:
    """Within it a U-Net that is trained predicts for sampling: with the weights that would be saved, in the precision
    of training, and without dropout. After it all is as before, random numbers too.
    """
    before, was_training = unet.__dict__.get("forward"), unet.training
    forward = unet.forward

    def predict(*given: Any, **named: Any) -> Any:
        with autocast():
            found = forward(*given, **named)
        return tuple(each.float() for each in found)

    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        try:
            unet.forward = predict
            unet.eval()
            with average.in_place() if average is not None else contextlib.nullcontext():
                yield
        finally:
            unet.train(was_training)
            del unet.forward
            if before is not None:
                unet.forward = before
