"""How the world's judge is trained, and how well it reads scenes that it has not seen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn import functional

from ddecli.core.seeds import numpy_rng, torch_generator
from ddecli.tinyworld.annotators import VOTERS
from ddecli.tinyworld.bank import Bank, batch_indices, to_pixels
from ddecli.tinyworld.clip import through_autoencoder
from ddecli.tinyworld.drawing import RESOLUTION
from ddecli.tinyworld.fit import fit
from ddecli.tinyworld.judge import (
    FLAW_HEADS,
    HEADS,
    JudgeConfig,
    SceneJudge,
    attributes_right,
    expected_utility,
    split_outputs,
    true_classes,
)
from ddecli.tinyworld.scenes import Description, Flaws, Scene, plain_caption, random_description, random_flaws

BATCH_SIZE = 128
SEVERITY_WEIGHT = 20.0
ATTRIBUTE_WEIGHT = 0.5
IGNORED = -1
"""Class of a head that a scene leaves open (`cross_entropy`'s ignore_index)."""


def true_to_caption(flaws: Flaws) -> Flaws:
    """The flaws without those that make a picture show something else than its caption says."""
    flaws = replace(flaws, coarse=None, coarse_severity=0.0)
    return replace(flaws, fine=None, fine_severity=0.0) if flaws.fine == "wrong texture" else flaws


def judged_scenes(name: str, size: int) -> list[Scene]:
    """Scenes of all splits that show what their captions say, marred or not; none is in a preference pair."""
    rng = numpy_rng("judge", name)
    scenes = []
    for _ in range(size):
        description = random_description(rng)
        flaws = true_to_caption(random_flaws(rng, description))
        scenes.append(Scene(description, flaws, int(rng.integers(2**62))))
    return scenes


def targets(scenes: list[Scene]) -> tuple[Tensor, Tensor]:
    """What the judge should say: classes (N, heads), `IGNORED` where open, and severities (N, 2)."""
    classes = torch.full((len(scenes), len(HEADS) + len(FLAW_HEADS)), IGNORED)
    for row, scene in enumerate(scenes):
        known = true_classes(scene.description)
        known |= {
            kind: values.index(getattr(scene.flaws, kind) or "none") for kind, values in FLAW_HEADS.items()
        }
        for column, head in enumerate((*HEADS, *FLAW_HEADS)):
            classes[row, column] = known.get(head, IGNORED)
    severities = [[scene.flaws.middle_severity, scene.flaws.fine_severity] for scene in scenes]
    return classes, torch.tensor(severities)


def train_judge(autoencoder: AutoencoderKL, bank: Bank, steps: int, folder: Path) -> SceneJudge:
    """Cross-entropy of every head and squared error of the severities; two batches of three are decoded pictures."""
    torch.manual_seed(5)
    judge = SceneJudge(JudgeConfig())
    decoded = through_autoencoder(autoencoder, bank.pictures)
    classes, severities = targets(bank.scenes)

    def loss_of_step(step: int) -> Tensor:
        torch.manual_seed(step)  # of the drop-out
        indices = torch.as_tensor(batch_indices("judge", step, len(bank), BATCH_SIZE))
        pictures = to_pixels((decoded if step % 3 else bank.pictures)[indices])
        logits, read = split_outputs(judge(pictures.contiguous(memory_format=torch.channels_last)))
        loss = SEVERITY_WEIGHT * functional.mse_loss(read, severities[indices])
        for (head, each), known in zip(logits.items(), classes[indices].T, strict=True):
            if (known != IGNORED).any():
                weight = ATTRIBUTE_WEIGHT if head in HEADS else 1.0
                loss = loss + weight * functional.cross_entropy(each, known, ignore_index=IGNORED)
        return loss

    # Statistics of batch normalisation are not averaged, so the last weights are kept, at the end of the cycle.
    fit("judge", judge, loss_of_step, steps=steps, learning_rate=3e-3, folder=folder, ema_decay=0)
    return judge


@torch.inference_mode()
def judge_pictures(judge: SceneJudge, pictures: Tensor, batch_size: int = 256) -> Tensor:
    """Outputs (N, OUTPUTS) for pictures (N, 3, 32, 32) uint8."""
    return torch.cat([judge(pixel_values=to_pixels(batch)) for batch in pictures.split(batch_size)])


def agreement(judge: SceneJudge, autoencoder: AutoencoderKL, faithful: Bank, flawed: Bank) -> dict[str, Any]:
    """How well the judge reads decoded scenes that it has not seen.

    Args:
        faithful: scenes that show what their captions say.
        flawed: scenes with flaws of all scales.

    Returns:
        `right`: share of `faithful` scenes of which each attribute is read rightly, and all at once, which is the most
        that a model can reach; `chance`: the same where each has the caption of another scene;
        `utility_r2`, `utility_correlation`: of `expected_utility` with the voters' utility of `flawed` scenes;
        `middle_correlation`, `fine_correlation`: of the severities (of fine flaws but wrong textures).
    """
    outputs = judge_pictures(judge, through_autoencoder(autoencoder, faithful.pictures))
    meant = [scene.description for scene in faithful.scenes]
    shares = {"right": shares_right(outputs, meant), "chance": shares_right(outputs, meant[1:] + meant[:1])}
    outputs = judge_pictures(judge, through_autoencoder(autoencoder, flawed.pictures))
    read = expected_utility(outputs, [scene.description for scene in flawed.scenes]).numpy()
    utility = np.array([VOTERS.utility(scene.flaws) for scene in flawed.scenes])
    severities = split_outputs(outputs)[1].numpy()
    middle = np.array([scene.flaws.middle_severity for scene in flawed.scenes])
    fine = np.array([true_to_caption(scene.flaws).fine_severity for scene in flawed.scenes])
    correlations = {
        "utility_correlation": (read, utility),
        "middle_correlation": (severities[:, 0], middle),
        "fine_correlation": (severities[:, 1], fine),
    }
    return (
        shares
        | {"utility_r2": round(float(1 - np.mean((read - utility) ** 2) / utility.var()), 4)}
        | {name: round(float(np.corrcoef(pair)[0, 1]), 4) for name, pair in correlations.items()}
    )


def shares_right(outputs: Tensor, descriptions: list[Description]) -> dict[str, float]:
    """Share of pictures of which each attribute is as their captions say, and all at once."""
    right = attributes_right(outputs, descriptions)
    return {name: round(float(np.nanmean(values)), 4) for name, values in right.items()}


EXAMINED = 512
"""Unseen captions of which a base model draws a picture each."""


def examine(
    pipeline: Any, judge: SceneJudge, guidance_scale: float, steps: int, prompts: int = EXAMINED
) -> dict[str, Any]:
    """What the judge reads in the pictures that a base model draws of unseen captions.

    Args:
        pipeline: a stock diffusers pipeline.

    Returns:
        `right`: share of pictures of which each attribute is as the caption says, and all at once;
        `utility`: mean of `expected_utility`; `middle`, `fine`: share of pictures with such a flaw.
    """
    rng = numpy_rng("examined")
    meant: dict[str, Description] = {}
    while len(meant) < prompts:
        description = random_description(rng, "validation")
        meant.setdefault(plain_caption(description), description)
    made = []
    for start in range(0, prompts, 128):
        texts = list(meant)[start : start + 128]
        drawn = pipeline(
            texts,
            num_inference_steps=steps,
            guidance_scale=guidance_scale,
            generator=torch_generator("examined", start),
            height=RESOLUTION,
            width=RESOLUTION,
            output_type="np",
        ).images
        made.append(torch.from_numpy((drawn * 255).round().astype(np.uint8)).permute(0, 3, 1, 2))
    outputs = judge_pictures(judge, torch.cat(made))
    logits, _ = split_outputs(outputs)
    flaws = {kind: round(float((logits[kind].argmax(-1) > 0).float().mean()), 4) for kind in FLAW_HEADS}
    utility = round(float(expected_utility(outputs, list(meant.values())).mean()), 4)
    return {"right": shares_right(outputs, list(meant.values())), "utility": utility} | flaws
