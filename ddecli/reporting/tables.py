"""Tables 2 and 3 from scores on disk: means over prompts and training seeds, gains with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ddecli.core.errors import UserError
from ddecli.reporting import paper
from ddecli.reporting.bootstrap import gain_percent, percentile_interval, resampled_means, resampled_weights
from ddecli.reporting.cells import Cell, Row, Table, spread
from ddecli.reporting.compare import DRAWS, check_same_images
from ddecli.reporting.inception import inception_table, load_inception
from ddecli.reporting.notes import model_note, protocol_note, scorer_note, seed_note
from ddecli.reporting.scores import ScoreSet, check_same_protocol, load_scores

ORDER = ("clip", "hps", "pickscore", "aesthetic", "truth", "diversity")
"""Columns from left to right; metrics that are not here follow in alphabetical order."""


def build_table(
    number: int, folders: Mapping[str, Sequence[str | Path]], draws: int = DRAWS, seed: int = 0
) -> Table:
    """Build a table from folders on disk.

    Args:
        number: 2 (Stable Diffusion 1.5), 3 (Stable Diffusion XL) or 4 (Inception Score).
        folders: a label's folders, one for each training seed; the first label is the base.
        draws: bootstrap samples.
        seed: of the bootstrap.

    Raises:
        UserError: no such table, a folder given twice for a label, missing scores, or mixed protocols.
    """
    if number not in paper.tables():
        raise UserError(
            f"There is no table {number} to build: choose 2 (SD15), 3 (SDXL) or 4 (Inception Score)."
        )
    for label, given in folders.items():
        if len({Path(folder).resolve() for folder in given}) < len(given):
            raise UserError(f"{label} names one folder twice: give one folder for each training seed.")
    if number == 4:
        return inception_table(
            {label: [load_inception(f) for f in given] for label, given in folders.items()}
        )
    sets = {label: [load_scores(folder) for folder in given] for label, given in folders.items()}
    return paper_table(number, sets, draws, seed)


def paper_table(
    number: int, sets: Mapping[str, Sequence[ScoreSet]], draws: int = DRAWS, seed: int = 0
) -> Table:
    """Mean scores of every row, and gains over the first one.

    The interval of a gain is a percentile bootstrap over prompts, the same prompts in both rows, and over the
    training seeds of each row that has several.

    Args:
        number: of the paper's table whose figures stand beside ours, 2 or 3.
        sets: a label's score sets, one for each training seed; the first label is the base.

    Raises:
        UserError: mixed protocols or scorers, different images, or no metric that all sets have.
    """
    every = [scores for given in sets.values() for scores in given]
    check_same_protocol(every)
    measured = [set(scores.metrics) for scores in every]
    shared = set.intersection(*measured)
    if not shared:
        raise UserError("The folders have no metric in common: score them all with the same --metric.")
    metrics = sorted(shared, key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name))
    columns = {metric: _column(number, metric, sets, draws, seed) for metric in metrics}
    base = next(iter(sets))
    rows = [
        Row(label, None if label == base else base, len(given), {m: columns[m][label] for m in metrics})
        for label, given in sets.items()
    ]
    prompts = len(every[0].metric(metrics[0]).prompt_means())
    drawn = "prompts and of the training seeds" if any(row.seeds > 1 for row in rows) else "prompts"
    notes = [
        protocol_note(every[0].protocol),
        model_note({label: [scores.protocol for scores in given] for label, given in sets.items()}),
        scorer_note(every[0].scorers, metrics),
        seed_note(rows),
        f"Gains over {base}: 95 % percentile bootstrap intervals, {draws:,} draws of the {prompts} {drawn}, "
        f"bootstrap seed {seed}.",
        paper.note(number),
    ]
    left_out = sorted(set.union(*measured) - shared)
    if left_out:
        notes.append(f"Left out, not scored in every folder: {', '.join(left_out)}.")
    return Table(number, metrics, rows, notes)


def _column(
    number: int, metric: str, sets: Mapping[str, Sequence[ScoreSet]], draws: int, seed: int
) -> dict[str, Cell]:
    """One metric's cells by label."""
    base = next(iter(sets))
    for scores in (scores for given in sets.values() for scores in given):
        check_same_images(sets[base][0], scores, metric)
    values = {  # (prompts, seeds) a row
        label: np.stack([scores.metric(metric).prompt_means() for scores in given], axis=1)
        for label, given in sets.items()
    }
    # All rows in one call, so that a draw takes the same prompts in every row.
    drawn = resampled_means(np.concatenate(list(values.values()), axis=1), draws, seed)
    first_seed = np.cumsum([0, *(row.shape[1] for row in values.values())])
    resampled = {
        label: _over_seeds(drawn[:, first : first + row.shape[1]], seed, label)
        for first, (label, row) in zip(first_seed[:-1], values.items(), strict=True)
    }
    means = {label: float(row.mean()) for label, row in values.items()}
    several = len(values[base]) > 1
    cells = {}
    for label, row in values.items():
        error = float(row.mean(axis=1).std(ddof=1) / np.sqrt(len(row))) if several else None
        best = means[label] == max(means.values())
        cell = Cell(means[label], spread(row.mean(axis=0)), error, best=best)
        if label != base:
            differences = resampled[label] - resampled[base]
            gain, gain_interval = gain_percent(
                means[label], means[base], resampled[label], resampled[base], interval=several
            )
            cell = replace(
                cell,
                difference=means[label] - means[base],
                difference_interval=percentile_interval(differences) if several else None,
                gain_percent=gain,
                gain_interval=gain_interval,
                paper=paper.figure(number, label, metric) if metric in paper.metrics(number) else "",
            )
        cells[label] = cell
    return cells


def _over_seeds(drawn: np.ndarray, seed: int, label: str) -> np.ndarray:
    """Means `(draws,)` over training seeds that are themselves drawn with replacement."""
    draws, seeds = drawn.shape
    return (drawn * resampled_weights(seeds, draws, seed, label)).sum(axis=1)
