"""What `ddecli prepare` makes pairs of where a model's own images are judged: a scored sample, here or to be drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ddecli.cli.prompts import named_prompts
from ddecli.cli.relabel import scorer_folders
from ddecli.core.errors import UserError

if TYPE_CHECKING:
    import torch

    from ddecli.data.relabel import Decided
    from ddecli.data.sources.base import Source
    from ddecli.feedback.drawn import Drawing

GENERATED = "generated"
"""What stands for the data in the name of their store."""
TRAIN_PROMPTS = "world:train"


def refuse_options(beside: Literal["with", "without"], given: Mapping[str, Any]) -> None:
    """Refuse options that mean nothing with, or without, --generate.

    Args:
        given: values by the options' names, None where one was not given.
    """
    way_out = {"with": "leave one of them out", "without": "give both, or neither"}[beside]
    for name, value in given.items():
        if value is not None:
            raise UserError(f"--{name} means nothing {beside} --generate: {way_out}.")


def drawing_of(
    model: str, count: int, prompts: str | None, num_prompts: int | None, metrics: tuple[str, ...], seed: int
) -> Drawing:
    """What `--generate` asks for.

    Raises:
        UserError: one image a prompt, no scorer, or no prompts.
    """
    from ddecli.feedback.drawn import Drawing
    from ddecli.models.presets import resolve

    if count < 2:
        raise UserError(f"--generate {count} draws one image a prompt, and a pair has two: give 2 or more.")
    if not metrics:
        raise UserError("--generate needs a scorer that decides: give --relabel pickscore, or another.")
    if prompts is None and not resolve(model).is_tiny:
        raise UserError(
            f"{model} needs --prompts to draw for: a file with one prompt a line, or what else ddecli sample takes, "
            "but not what you evaluate with."
        )
    asked = named_prompts(prompts or TRAIN_PROMPTS, [], num_prompts)
    return Drawing(model, asked, count, metrics, seed)


def draw(
    drawing: Drawing,
    out: Path,
    device: torch.device,
    share: tuple[int, int],
    scorers: Sequence[str],
    overwrite: bool,
) -> str:
    """Draw and score the images that a store is made of.

    Args:
        out: the store's folder.
        scorers: METRIC=FOLDER texts.

    Returns:
        The folder of the images.
    """
    from ddecli.core.console import console
    from ddecli.feedback.drawn import draw_and_score

    if share[1] > 1:
        raise UserError(
            "--generate draws in one process: share the work with ddecli sample --shard, run ddecli score, and give "
            "their folder as --data."
        )
    folder = out.with_name(f"{out.name}-images")
    console.print(
        f"{folder}: {drawing.images_per_prompt} images a prompt, sampled with seed {drawing.sample_seed}.",
        highlight=False,
        soft_wrap=True,
    )
    draw_and_score(drawing, folder, device, scorer_folders(scorers), overwrite)
    return str(folder)


def pairs_of_sample(
    data: str, thresholds: dict[str, float], every: bool, scorers: Sequence[str]
) -> tuple[Source, Decided]:
    """The pairs of a scored sample, and what decided them.

    Raises:
        UserError: no scorer decides, it would have to be loaded, or as `scored_source`.
    """
    from ddecli.feedback.scored import PairUp, scored_source

    if not thresholds:
        raise UserError(
            f"{data} is a sample, whose images nobody compared: say which scorer decides, as in --relabel pickscore."
        )
    if scorers:
        raise UserError(
            f"--scorer {scorers[0]} is not needed, the scores of {data} decide: give it to ddecli score, and leave it "
            "out here."
        )
    return scored_source(Path(data), PairUp(thresholds, every))
