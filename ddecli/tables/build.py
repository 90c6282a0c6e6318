"""Tables from scores on disk: means over prompts and training seeds, gains and differences with intervals."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from ddecli.core.errors import UserError
from ddecli.core.ledger import noting
from ddecli.core.scores import ScoreSet, check_same_protocol, load_scores
from ddecli.stats.groups import Kind, kinds_beside, of_prompts, sampled_kinds
from ddecli.stats.intervals import Estimate, corrected_level, estimate, gain_percent
from ddecli.stats.metrics import is_part
from ddecli.stats.rows import (
    Folders,
    ScoredRow,
    check_distinct,
    difference,
    prompt_means,
    scored_rows,
    shared_metrics,
    shared_seeds,
)
from ddecli.stats.trainings import trained_loss, training_seeds
from ddecli.tables import paper
from ddecli.tables.cells import Cell, Contrast, Difference, KindRows, Table, TableRow, spread
from ddecli.tables.inception_table import inception_table, load_inception
from ddecli.tables.notes import (
    difference_note,
    gain_note,
    kind_note,
    lone_note,
    model_note,
    protocol_note,
    scorer_note,
    seed_note,
)


def build_table(number: int | None, folders: Folders) -> Table:
    """Build a table from folders on disk.

    Args:
        number: 2 (Stable Diffusion 1.5), 3 (Stable Diffusion XL) or 4 (Inception Score) of the paper; None for a
            table of one's own.
        folders: a label's folders, one for each training seed; the first label is the base.

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
        kinds = (
            kinds_beside(folder for given in folders.values() for folder in given) if number is None else []
        )
        return replace(score_table(number, sets, kinds), read=read)


def score_table(
    number: int | None, sets: Mapping[str, Sequence[ScoreSet]], kinds: Sequence[Kind] = ()
) -> Table:
    """Mean scores of every row, gains over the first one, and in a table of one's own all differences of two rows.

    Intervals are over prompts, the same in both rows, and over the trainings of each row that has several: see
    `ddecli.stats.intervals`.

    Args:
        number: of the paper's table whose figures stand beside ours, 2 or 3; None for a table of one's own.
        sets: a label's score sets, one for each training seed; the first label is the base.
        kinds: of the prompts, over which all rows are shown again.

    Raises:
        UserError: mixed protocols or scorers, different images, or no metric that all sets have.
    """
    every = [scores for given in sets.values() for scores in given]
    check_same_protocol(every)
    metrics = shared_metrics(every)
    base = next(iter(sets))
    seeds = {label: training_seeds(given) for label, given in sets.items() if label != base}
    losses = {label: trained_loss(given) or label for label, given in sets.items()}
    scored = _scored(sets, metrics, seeds)
    rows = _rows(number, scored, losses)
    of_kinds = list(_rows_of_kinds(sets, kinds, seeds, losses))
    prompts = len(scored[metrics[0]][base].values)
    differences = row_differences(scored) if number is None else []
    notes = [
        protocol_note(every[0].protocol),
        model_note({label: [scores.protocol for scores in given] for label, given in sets.items()}),
        scorer_note(every[0].scorers, metrics),
        seed_note(rows),
        *gain_note(rows, prompts),
        *lone_note(rows),
    ]
    found = {name for scores in every for name in scores.metrics if not is_part(name)}
    left_out = sorted(found - set(metrics))
    if left_out:
        notes.append(f"Left out, not scored in every folder: {', '.join(left_out)}.")
    if number is not None:
        notes.append(paper.note(number))
    elif differences:
        notes.append(difference_note(differences))
    if of_kinds:
        notes.append(kind_note(rows))
    return Table(number, metrics, rows, notes, differences, of_kinds)


def _scored(
    sets: Mapping[str, Sequence[ScoreSet]],
    metrics: Iterable[str],
    seeds: Mapping[str, tuple[int, ...] | None],
) -> dict[str, dict[str, ScoredRow]]:
    """Rows by metric and label."""
    return {metric: scored_rows(prompt_means(sets, metric), seeds) for metric in metrics}


def _rows(
    number: int | None, scored: Mapping[str, Mapping[str, ScoredRow]], losses: Mapping[str, str]
) -> list[TableRow]:
    columns = {metric: _column(number, metric, rows, losses) for metric, rows in scored.items()}
    labels = next(iter(scored.values()))
    base = next(iter(labels))
    return [
        TableRow(
            label,
            None if label == base else base,
            row.values.shape[1],
            {metric: cells[label] for metric, cells in columns.items()},
        )
        for label, row in labels.items()
    ]


def _rows_of_kinds(
    sets: Mapping[str, Sequence[ScoreSet]],
    kinds: Iterable[Kind],
    seeds: Mapping[str, tuple[int, ...] | None],
    losses: Mapping[str, str],
) -> Iterator[KindRows]:
    first = next(iter(sets.values()))[0]
    for kind, _ in sampled_kinds(kinds, first):
        own = {label: [of_prompts(each, kind.prompts) for each in given] for label, given in sets.items()}
        metrics = shared_metrics([scores for given in own.values() for scores in given])
        scored = _scored(own, metrics, seeds)
        count = len(next(iter(scored[metrics[0]].values())).values)
        yield KindRows(kind.division, kind.name, count, _rows(None, scored, losses))


def row_differences(scored: Mapping[str, Mapping[str, ScoredRow]]) -> list[Difference]:
    """Every row minus every row before it, in every metric.

    Args:
        scored: by metric and label.
    """
    pairs = list(combinations(next(iter(scored.values())), 2))
    level = corrected_level(len(pairs))
    found = []
    for second, first in pairs:
        both = {metric: (rows[first], rows[second]) for metric, rows in scored.items()}
        found.append(
            Difference(
                first,
                second,
                all(shared_seeds(a.seeds, b.seeds) is not None for a, b in both.values()),
                {metric: _contrast(difference(a, b), level) for metric, (a, b) in both.items()},
            )
        )
    return found


def _contrast(found: Estimate, level: float) -> Contrast:
    pairs = len(found.by_training) or None
    return Contrast(found.value, found.interval(), found.spread, pairs, found.below, _shown(found, level))


def _shown(found: Estimate, level: float) -> bool:
    interval = found.interval(level)
    return interval is not None and interval.excludes(0)


def _column(
    number: int | None, metric: str, scored: Mapping[str, ScoredRow], losses: Mapping[str, str]
) -> dict[str, Cell]:
    """One metric's cells by label; the paper's figures stand beside the rows of its losses, whatever their labels."""
    base = next(iter(scored))
    means = {label: row.mean for label, row in scored.items()}
    several = len(scored[base].values) > 1
    level = corrected_level(len(scored) - 1)
    cells = {}
    for label, row in scored.items():
        error = float(row.values.mean(axis=1).std(ddof=1) / np.sqrt(len(row.values))) if several else None
        best = means[label] == max(means.values())
        reach = estimate(row.values).interval()
        cell = Cell(means[label], spread(row.values.mean(axis=0)), error, best=best, interval=reach)
        if label != base:
            found = difference(row, scored[base])
            gain = gain_percent(row.values, scored[base].values)
            cell = replace(
                cell,
                difference=found.value,
                difference_interval=found.interval(),
                gain_percent=gain.value if gain else None,
                gain_interval=gain.interval() if gain else None,
                paper=_papers(number, losses[label], metric),
                below=found.below,
                shown=_shown(found, level),
            )
        cells[label] = cell
    return cells


def _papers(number: int | None, loss: str, metric: str) -> str:
    """The paper's figure for a loss, or a label; empty where the paper has no such column."""
    if number is None or metric not in paper.metrics(number):
        return ""
    return paper.figure(number, loss, metric)
