"""Table 4: Inception Scores, as `ddecli inception` leaves them, before and after training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, FiniteFloat, PositiveInt

from ddecli.core.errors import UserError
from ddecli.core.ledger import note
from ddecli.core.scores import check_same_protocol
from ddecli.core.sealed import read_sealed
from ddecli.stats.intervals import (
    Estimate,
    Interval,
    VariancePart,
    corrected_level,
    estimate_over_trainings,
    joined,
)
from ddecli.tables import paper
from ddecli.tables.cells import Cell, Table, TableRow, spread
from ddecli.tables.notes import card_text, model_note, protocol_note, seed_note

METRIC = "inception"
COMPARED = ("classifier", "conventions", "splits", "images")
"""What must agree, besides the protocol, before two Inception Scores are compared."""


@dataclass(frozen=True)
class InceptionResult:
    """One folder's Inception Score; `std` is over the parts of the images, None for one part."""

    name: str
    mean: float
    std: float | None
    protocol: dict[str, Any]
    scorers: dict[str, Any]


class _Result(BaseModel):
    """What of inception.json is needed."""

    mean: FiniteFloat
    std: FiniteFloat | None
    protocol: dict[str, Any] | None
    classifier: dict[str, Any]
    conventions: dict[str, Any]
    splits: PositiveInt
    images: PositiveInt


def load_inception(path: str | Path) -> InceptionResult:
    """Read `inception.json`, given itself or its folder.

    Raises:
        UserError: it is missing or damaged.
    """
    path = Path(path)
    file = path if path.suffix == ".json" else path / "inception.json"
    if not file.exists():
        raise UserError(f"{file} does not exist: measure it first with `ddecli inception {file.parent}`.")
    found = read_sealed(file, "measure it again with `ddecli inception`", _Result)
    scorer = {key: found[key] for key in COMPARED}
    std = None if found["std"] is None else float(found["std"])
    protocol = found["protocol"] or {}
    note(file)
    return InceptionResult(str(path), float(found["mean"]), std, protocol, {METRIC: scorer})


def inception_table(results: Mapping[str, Sequence[InceptionResult]]) -> Table:
    """Mean Inception Scores and gains over their base.

    The base of a row `NAME+METHOD` is the row `NAME` if there is one, of any other row the first row, so that
    SD15, SD15+DDE, SDXL and SDXL+DDE share a table.

    Args:
        results: a label's results, one for each training seed.

    Raises:
        UserError: mixed protocols, classifiers or numbers of images.
    """
    every = [result for given in results.values() for result in given]
    check_same_protocol(every)
    labels = list(results)
    bases = {label: _base(label, labels) for label in labels}
    means = {label: float(np.mean([result.mean for result in given])) for label, given in results.items()}
    rows = []
    for label, given in results.items():
        base = bases[label]
        rivals = [means[other] for other in labels if (bases[other] or other) == (base or label)]
        cell = Cell(
            mean=means[label],
            spread=spread([result.mean for result in given]) if len(given) > 1 else given[0].std,
            best=means[label] == max(rivals),
        )
        if base is not None:
            level = corrected_level(sum(other == base for other in bases.values()))
            cell = _with_gain(cell, results[base], given, level)
            cell = replace(cell, paper=paper.figure(4, label, METRIC))
        rows.append(TableRow(label, base, len(given), {METRIC: cell}))
    scorer = every[0].scorers[METRIC]
    notes = [
        protocol_note(every[0].protocol),
        model_note({label: [result.protocol for result in given] for label, given in results.items()}),
        f"Classifier: {card_text(scorer['classifier'])}.",
        f"Each score is of {scorer['images']} images in {scorer['splits']} parts.",
        f"{seed_note(rows)} Of a row with one seed, ± is the standard deviation over the parts.",
        "Gains: Student's 95 % intervals over the parts of the images and the trainings of a row, each of one "
        "comparison. Bold: told from 0 after correction for the rows with the same base.",
        paper.note(4),
    ]
    return Table(4, [METRIC], rows, notes)


def inception_difference(
    before: Sequence[InceptionResult], after: Sequence[InceptionResult], ratio: float = 1.0
) -> Estimate:
    """The mean score of `after` minus `ratio` times that of `before`.

    An Inception Score is one number for all images of a folder. The scores of parts of the images tell how it changes
    with the images, those of several trainings how it changes from training to training; a row with one training is
    about that training.
    """
    base = ratio * np.array([result.mean for result in before])
    scores = np.array([result.mean for result in after])
    images = joined(
        [
            *(_part(result, ratio / len(before)) for result in before),
            *(_part(result, 1 / len(after)) for result in after),
        ]
    )
    if len(before) == 1:
        found = estimate_over_trainings(scores - base[0])
    else:
        found = estimate_over_trainings(*(side for side in (scores, -base) if len(side) > 1))
        found = replace(found, value=float(scores.mean() - base.mean()))
    several = len(before) > 1 or len(after) > 1
    return replace(found, parts=(images, *found.parts) if several else (images,))


def _part(result: InceptionResult, weight: float) -> VariancePart:
    """Variance of a weighted score, from the scores of parts of the images, and its degrees of freedom."""
    count = int(result.scorers[METRIC]["splits"])
    if result.std is None or count < 2:
        return VariancePart(0.0, 0)
    return VariancePart(weight**2 * result.std**2 / count, count - 1)


def _with_gain(
    cell: Cell, before: Sequence[InceptionResult], after: Sequence[InceptionResult], level: float
) -> Cell:
    """The cell with its difference to its base, and the gain, whose interval is that of a ratio (delta method)."""
    found = inception_difference(before, after)
    base = float(np.mean([result.mean for result in before]))
    ratio = cell.mean / base
    relative = inception_difference(before, after, ratio).interval()
    corrected = found.interval(level)
    return replace(
        cell,
        difference=found.value,
        difference_interval=found.interval(),
        gain_percent=100 * (ratio - 1),
        gain_interval=Interval(*(100 * (end / base + ratio - 1) for end in relative)) if relative else None,
        below=found.below,
        shown=corrected is not None and corrected.excludes(0),
    )


def _base(label: str, labels: Sequence[str]) -> str | None:
    """The label of a row's base; None for a base."""
    before, plus, _ = label.partition("+")
    if plus and before in labels:
        return before
    is_base = label == labels[0] or any(other.startswith(f"{label}+") for other in labels)
    return None if is_base else labels[0]
