"""Images that a model draws to be set against each other: an ordinary sample, scored."""

from __future__ import annotations

import gc
from dataclasses import dataclass
from pathlib import Path

import torch

from ddecli.core.devices import choose_dtype
from ddecli.core.limits import MAX_SEED
from ddecli.models.load import load_for_sampling
from ddecli.models.presets import resolve
from ddecli.sampling.generate import SamplingSettings, sample_images
from ddecli.sampling.prompts import PromptSet
from ddecli.scoring.score import ScoringSettings, score_images
from ddecli.scoring.sources import read_source

FIRST_SEED = 1_000_000
"""Of such samples: no evaluation has it by default, so that no image is judged that was trained on."""


@dataclass(frozen=True)
class Drawing:
    """What is drawn, and which scorers judge it.

    model: its name.
    seed: from 0 on.
    """

    model: str
    prompts: PromptSet
    images_per_prompt: int
    metrics: tuple[str, ...]
    seed: int

    @property
    def sample_seed(self) -> int:
        """That of the sample."""
        return (FIRST_SEED + self.seed) % (MAX_SEED + 1)


def draw_and_score(
    drawing: Drawing, out: Path, device: torch.device, folders: dict[str, Path], overwrite: bool
) -> None:
    """Draw what is missing in the sample `out`, as `ddecli sample` does, and score what is not scored yet.

    Args:
        folders: of scorers' weights, where they are not the usual ones.
        overwrite: replace a sample of other settings.

    Raises:
        UserError: as `sample_images` and `score_images`.
    """
    precision = "float32" if resolve(drawing.model).is_tiny else "auto"
    model = load_for_sampling(drawing.model, device, choose_dtype(precision, device))
    settings = SamplingSettings(drawing.images_per_prompt, seed=drawing.sample_seed, overwrite=overwrite)
    sample_images(model, drawing.prompts, settings, out)
    del model  # scorers and encoders have the memory to themselves
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    score_images(read_source([out]), ScoringSettings(drawing.metrics, folders=folders, device=device), out)
