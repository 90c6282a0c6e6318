"""The scorers of `ddecli prepare --relabel`, as options name them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ddecli.cli.options import by_metric
from ddecli.core.errors import UserError

if TYPE_CHECKING:
    import torch

    from ddecli.data.relabel import Relabel

NONE = "none"


def deciding_metrics(given: Sequence[str]) -> tuple[str, ...]:
    """The scorers that decide; none where the data's labels do.

    Raises:
        UserError: a name is no metric, or `none` beside one.
    """
    from ddecli.scoring.published import check_metrics

    others = [name for name in given if name != NONE]
    if others and NONE in given:
        raise UserError(f"--relabel {NONE} stands alone: leave it out, or --relabel {others[0]}.")
    return check_metrics(others)


def thresholds_of(metrics: Sequence[str], given: Sequence[str]) -> dict[str, float]:
    """The threshold of each deciding scorer; 0 where none is given.

    Raises:
        UserError: no number from 0 on, a scorer that does not decide, or one number for several scorers.
    """
    found = dict.fromkeys(metrics, 0.0)
    for text in given:
        name, equals, number = text.rpartition("=")
        if not equals and len(metrics) > 1:
            raise UserError(
                f"--relabel-threshold {text}: {' and '.join(metrics)} have scales of their own; write METRIC=X, as in "
                f"{metrics[0]}={text}."
            )
        name = name if equals or not metrics else metrics[0]
        if name not in found:
            there = f"it is one of {', '.join(metrics)}" if metrics else "none is given with --relabel"
            raise UserError(f"--relabel-threshold {text} needs a scorer that decides: {there}.")
        try:
            found[name] = float(number)
        except ValueError:
            found[name] = math.nan
        if not (math.isfinite(found[name]) and found[name] >= 0):
            raise UserError(f"--relabel-threshold {text} must be a number from 0 on, in units of the scores.")
    return found


def load_relabel(
    thresholds: dict[str, float], folders: Sequence[str], tiny: bool, device: torch.device
) -> Relabel:
    """Load the scorers that decide, all of them at once.

    Args:
        thresholds: of each.
        folders: METRIC=FOLDER texts.
        tiny: whether they judge pictures of the tiny world.
    """
    from ddecli.data.relabel import PairScorer, Relabel
    from ddecli.models.quiet import quiet_libraries
    from ddecli.scoring.published import scorer_source
    from ddecli.scoring.score import load_scorer, scorer_class

    if asking := next((metric for metric in thresholds if scorer_class(metric).asks), None):
        raise UserError(
            f"--relabel {asking} needs questions about each prompt, which pairs do not come with: leave it out, or "
            f"give as --data a sample that ddecli score --metric {asking} has scored."
        )
    given = scorer_folders(folders)
    sources = {metric: scorer_source(metric, "tiny" if tiny else "real", given) for metric in thresholds}
    with quiet_libraries():
        scorers = {metric: load_scorer(metric, source, device) for metric, source in sources.items()}
    return Relabel(
        [
            PairScorer(scorer.card, scorer.preprocess, scorer.score_pixels, thresholds[metric])
            for metric, scorer in scorers.items()
        ]
    )


def scorer_folders(texts: Sequence[str]) -> dict[str, Path]:
    """Folders of scorers' weights by metric, from METRIC=FOLDER texts."""
    from ddecli.scoring.published import check_metrics

    given = {name: Path(folder) for name, folder in by_metric("--scorer", "FOLDER", list(texts))}
    check_metrics(given)
    return given
