"""Contact sheets of what a model draws in the middle of its training, beside what it drew before.

RUN/samples/base         images of the model that the run starts from, a sample folder like any other
RUN/samples/step-N       those after N steps, of the same prompts and starting noise
RUN/samples/step-N.png   both side by side
RUN/samples.jsonl        what was measured of each, a line a sheet
"""

from __future__ import annotations

import copy
import gc
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ddecli.core.console import console
from ddecli.core.errors import first_sentence
from ddecli.core.files import atomic_file
from ddecli.core.images import load_image
from ddecli.core.scores import ScoreSet
from ddecli.models.base import DiffusionModel, hold_frozen_in
from ddecli.sampling.folder import ImageTask, list_tasks
from ddecli.sampling.generate import SamplingSettings, sample_images
from ddecli.sampling.prompts import PromptSet
from ddecli.sampling.sheet import MAX_PROMPTS, Row, draw_sheet
from ddecli.scoring.score import ScoringSettings
from ddecli.stats.compare import MetricComparison, compare
from ddecli.stats.metrics import DIVERSITY
from ddecli.training.trainer import Trainer
from ddecli.watch.drawing import Prompts, as_when_sampled, drawing_model, load_base
from ddecli.watch.scores import SheetScores, lines

IMAGES = 2
"""Images a prompt: with one alone it is not seen when they become alike."""
SCORED = "scores and differences to the base (95 %, {} prompts):"


@dataclass(frozen=True)
class Seen:
    """What is seen after a step.

    Attributes:
        sheet: (height, width, 3) uint8.
        distances: between the images of each prompt, and those of the base's, `(prompts,)` both: cosine distances of
            CLIP's embeddings (`diversity`) where `clip` is a metric, else of pixels.
        pixel_distance: mean distance of pixels, where 1 is as far as the base's.
        compared: scores beside the base's; empty where there are none.
        scores: those and the base's; None where none were asked for, or scoring has failed.
    """

    sheet: np.ndarray
    distances: tuple[np.ndarray, np.ndarray]
    pixel_distance: float | None
    compared: Sequence[MetricComparison]
    scores: tuple[ScoreSet, ScoreSet] | None


class Sheets:
    """The contact sheets of a run, on the main process. Images that lie there already are not made again."""

    def __init__(self, trainer: Trainer, prompts: PromptSet, scoring: ScoringSettings | None = None) -> None:
        """Load the scorers, encode the prompts, and draw and score what the base makes of them.

        Args:
            scoring: how images are scored; None where they are not.

        Raises:
            UserError: the base cannot be loaded or cannot draw, its images cannot be scored, or the folder cannot be
                written.
        """
        self.trainer, self.prompts = trainer, prompts
        self.folder = trainer.settings.folder / "samples"
        self.scores = None if scoring is None else SheetScores(scoring, self.folder / "base")
        self.asked = SamplingSettings(images_per_prompt=IMAGES, overwrite=True)
        self.tasks = list_tasks(prompts.prompts, IMAGES)
        device = trainer.accelerator.device
        base = load_base(trainer.settings, device)
        if trainer.settings.lora:  # what is not trained is held so
            hold_frozen_in(trainer.dtype, base.unet.requires_grad_(False))
        encoded = Prompts(base.pipeline, prompts)
        self._draw(drawing_model(base, encoded, device), self.folder / "base", None)
        if self.scores is not None:
            _ = self.scores.of_base
        del base
        gc.collect()
        if device.type == "cuda":
            torch.cuda.empty_cache()
        self.model = drawing_model(trainer.model, encoded, device)
        self.base_distances = self._distances("base")

    def is_due(self, step: int) -> bool:
        """Whether there is a sheet after so many steps."""
        settings = self.trainer.settings
        assert settings.sample_every is not None
        return step % settings.sample_every == 0 or step == settings.steps

    def is_left_over(self, first_step: int) -> bool:
        """Whether a run that goes on after so many steps was stopped before their sheet was drawn."""
        return first_step > 0 and self.is_due(first_step) and not self._sheet(first_step).exists()

    def draw(self, step: int) -> Seen:
        """Draw, and score, after so many steps.

        Raises:
            UserError: it cannot be drawn or written.
        """
        name = self._sheet(step).stem
        model = copy.copy(self.model)  # what lies in the run folder is not yet, or no longer, this one
        model.source = replace(model.source, name=f"{self.trainer.settings.folder.name}-{name}")
        self._draw(model, self.folder / name, self.trainer.average)
        scores = self._scores(name)
        groups = ("base", name)
        prompts = [self.tasks[start : start + IMAGES] for start in range(0, len(self.tasks), IMAGES)]
        rows = [
            Row(own[0].prompt, tuple([self._file(group, task) for task in own] for group in groups))
            for own in prompts[:MAX_PROMPTS]
        ]
        compared = compare(*scores) if scores else []
        notes = [SCORED.format(len(prompts)), *(text for text, _ in lines(compared))] if compared else []
        sheet = draw_sheet(rows, ("before", f"after step {step}"), IMAGES, notes)
        with atomic_file(self._sheet(step)) as temporary:
            sheet.save(temporary, format="PNG")
        pixels, of_base = self._distances(name), self.base_distances
        share = float(pixels.mean() / of_base.mean()) if of_base.mean() > 0 else None
        distances = pixels, of_base
        if scores and DIVERSITY in scores[0].metrics:
            own, before = (each.metrics[DIVERSITY].prompt_means() for each in scores)
            distances = own, before
        return Seen(np.asarray(sheet), distances, share, compared, scores)

    def _scores(self, name: str) -> tuple[ScoreSet, ScoreSet] | None:
        """And the base's. Training is worth more than they: what fails is said once, and not tried again."""
        if self.scores is None:
            return None
        try:
            return self.scores.score(self.folder / name), self.scores.of_base
        except Exception as error:
            self.scores = None
            console.print(
                f"Scoring {self.folder / name} has failed ({first_sentence(error).rstrip('.')}): training goes on, and "
                "sheets are no longer scored.",
                style="yellow",
            )
            return None

    def _sheet(self, step: int) -> Path:
        return self.folder / f"step-{step:06d}.png"

    def _draw(self, model: DiffusionModel, out: Path, average: Any) -> None:
        with as_when_sampled(model.unet, self.trainer.autocast, average):
            sample_images(model, self.prompts, self.asked, out, quiet=True)

    def _file(self, group: str, task: ImageTask) -> Path:
        return self.folder / group / task.file_name

    def _distances(self, group: str) -> np.ndarray:
        """Root mean square difference of the pixels of each prompt's two images, (prompts,), 0 to 1."""
        pixels = [
            np.asarray(load_image(self._file(group, task)), dtype=np.float64) / 255 for task in self.tasks
        ]
        pairs = zip(pixels[::IMAGES], pixels[1::IMAGES], strict=True)
        return np.array([np.sqrt(np.mean((one - other) ** 2)) for one, other in pairs])
