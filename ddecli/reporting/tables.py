"""Tables from scores on disk: means over prompts and training seeds, gains and differences with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from ddecli.core.errors import UserError
from ddecli.core.ledger import noting
from ddecli.core.scores import ScoreSet, check_same_protocol, load_scores
from ddecli.reporting import paper
from ddecli.reporting.bootstrap import gain_percent, percentile_interval
from ddecli.reporting.cells import Cell, Difference, Estimate, Row, Table, spread
from ddecli.reporting.compare import DRAWS
from ddecli.reporting.inception import inception_table, load_inception
from ddecli.reporting.notes import (
    difference_note,
    lone_note,
    model_note,
    protocol_note,
    scorer_note,
    seed_note,
)
from ddecli.reporting.rows import (
    Folders,
    Resampled,
    check_distinct,
    drawn_differences,
    prompt_means,
    resampled_rows,
    share_trainings,
    shared_metrics,
)
from ddecli.reporting.trainings import trained_loss, training_seeds


def build_table(number: int | None, folders: Folders, draws: int = DRAWS, seed: int = 0) -> Table:
    """Build a table from folders on disk.

    Args:
        number: 2 (Stable Diffusion 1.5), 3 (Stable Diffusion XL) or 4 (Inception Score) of the paper; None for a
            table of one's own.
        folders: a label's folders, one for each training seed; the first label is the base.
        draws: bootstrap samples.
        seed: of the bootstrap.

    Raises:
        UserError: no such table, a folder given twice for a label, missing scores, or mixed protocols.
    """
    if number is not None and number not in paper.tables():
        raise UserError(
            f"There is no table {number} to build: choose 2 (SD15), 3 (SDXL) or 4 (Inception Score), or leave the "
            "number out."
        )
    check_distinct(folders)
    with noting() as read:
        if number == 4:
            results = {label: [load_inception(f) for f in given] for label, given in folders.items()}
            return replace(inception_table(results), read=read)
        sets = {label: [load_scores(folder) for folder in given] for label, given in folders.items()}
        return replace(score_table(number, sets, draws, seed), read=read)


def score_table(
    number: int | None, sets: Mapping[str, Sequence[ScoreSet]], draws: int = DRAWS, seed: int = 0
) -> Table:
    """Mean scores of every row, gains over the first one, and in a table of one's own all differences of two rows.

    The interval of a gain is a percentile bootstrap over prompts, the same prompts in both rows, and over the
    training seeds of each row that has several.

    Args:
        number: of the paper's table whose figures stand beside ours, 2 or 3; None for a table of one's own.
        sets: a label's score sets, one for each training seed; the first label is the base.

    Raises:
        UserError: mixed protocols or scorers, different images, or no metric that all sets have.
    """
    every = [scores for given in sets.values() for scores in given]
    check_same_protocol(every)
    metrics = shared_metrics(every)
    base = next(iter(sets))
    seeds = {label: training_seeds(given) for label, given in sets.items() if label != base}
    values = {metric: prompt_means(sets, metric) for metric in metrics}
    drawn = {metric: resampled_rows(values[metric], draws, seed, seeds) for metric in metrics}
    losses = {label: trained_loss(given) or label for label, given in sets.items()}
    columns = {metric: _column(number, metric, drawn[metric], losses) for metric in metrics}
    rows = [
        Row(label, None if label == base else base, len(given), {m: columns[m][label] for m in metrics})
        for label, given in sets.items()
    ]
    prompts = len(values[metrics[0]][base])
    again = "prompts and of the training seeds" if any(row.seeds > 1 for row in rows) else "prompts"
    differences = row_differences(drawn) if number is None else []
    notes = [
        protocol_note(every[0].protocol),
        model_note({label: [scores.protocol for scores in given] for label, given in sets.items()}),
        scorer_note(every[0].scorers, metrics),
        seed_note(rows),
        f"Gains over {base}: 95 % percentile bootstrap intervals, {draws:,} draws of the {prompts} {again}, "
        f"bootstrap seed {seed}.",
        *lone_note(rows),
        "Bold mean: the highest of its column, whether or not it is told apart from the others.",
    ]
    left_out = sorted({name for scores in every for name in scores.metrics} - set(metrics))
    if left_out:
        notes.append(f"Left out, not scored in every folder: {', '.join(left_out)}.")
    if number is not None:
        notes.append(paper.note(number))
    elif differences:
        notes.append(difference_note(differences, len(metrics)))
    return Table(number, metrics, rows, notes, differences)


def row_differences(drawn: Mapping[str, Mapping[str, Resampled]]) -> list[Difference]:
    """Every row minus every row before it, in every metric.

    Prompts and images are the same in both rows. Trainings of the same seeds are drawn together; of rows whose seeds
    differ, or are not known, independently.

    Args:
        drawn: by metric and label.
    """
    labels = list(next(iter(drawn.values())))
    found = []
    for second, first in combinations(labels, 2):
        pairs = {metric: (rows[first], rows[second]) for metric, rows in drawn.items()}
        found.append(
            Difference(
                first,
                second,
                all(share_trainings(a, b) for a, b in pairs.values()),
                {metric: _estimate(a, b) for metric, (a, b) in pairs.items()},
            )
        )
    return found


def _estimate(a: Resampled, b: Resampled) -> Estimate:
    several = len(a.values) > 1
    return Estimate(a.mean - b.mean, percentile_interval(drawn_differences(a, b)) if several else None)


def _column(
    number: int | None, metric: str, drawn: Mapping[str, Resampled], losses: Mapping[str, str]
) -> dict[str, Cell]:
    """One metric's cells by label; the paper's figures stand beside the rows of its losses, whatever their labels."""
    base = next(iter(drawn))
    means = {label: row.mean for label, row in drawn.items()}
    several = len(drawn[base].values) > 1
    cells = {}
    for label, row in drawn.items():
        error = float(row.values.mean(axis=1).std(ddof=1) / np.sqrt(len(row.values))) if several else None
        best = means[label] == max(means.values())
        cell = Cell(means[label], spread(row.values.mean(axis=0)), error, best=best)
        if label != base:
            gain, gain_interval = gain_percent(
                means[label], means[base], row.draws, drawn[base].draws, interval=several
            )
            cell = replace(
                cell,
                difference=means[label] - means[base],
                difference_interval=percentile_interval(row.draws - drawn[base].draws) if several else None,
                gain_percent=gain,
                gain_interval=gain_interval,
                paper=_papers(number, losses[label], metric),
            )
        cells[label] = cell
    return cells


def _papers(number: int | None, loss: str, metric: str) -> str:
    """The paper's figure for a loss, or a label; empty where the paper has no such column."""
    if number is None or metric not in paper.metrics(number):
        return ""
    return paper.figure(number, loss, metric)
