"""Tables 2 and 3 from scores on disk: means over prompts and training seeds, gains with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from ddecli.core.errors import UserError
from ddecli.core.scores import ScoreSet, check_same_protocol, load_scores
from ddecli.reporting import paper
from ddecli.reporting.bootstrap import gain_percent, percentile_interval
from ddecli.reporting.cells import Cell, Row, Table, spread
from ddecli.reporting.compare import DRAWS
from ddecli.reporting.inception import inception_table, load_inception
from ddecli.reporting.notes import model_note, protocol_note, scorer_note, seed_note
from ddecli.reporting.rows import Folders, check_distinct, prompt_means, resampled_rows, shared_metrics


def build_table(number: int, folders: Folders, draws: int = DRAWS, seed: int = 0) -> Table:
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
    check_distinct(folders)
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
    metrics = shared_metrics(every)
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
    left_out = sorted({name for scores in every for name in scores.metrics} - set(metrics))
    if left_out:
        notes.append(f"Left out, not scored in every folder: {', '.join(left_out)}.")
    return Table(number, metrics, rows, notes)


def _column(
    number: int, metric: str, sets: Mapping[str, Sequence[ScoreSet]], draws: int, seed: int
) -> dict[str, Cell]:
    """One metric's cells by label."""
    base = next(iter(sets))
    values = prompt_means(sets, metric)
    resampled = resampled_rows(values, draws, seed)
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
