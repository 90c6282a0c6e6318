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
    SD15, SD15+DDE, SDXL and SDXL+DDE share a table. An Inception Score is one number for a whole folder, so
    gains have no interval.

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
            cell = replace(
                cell,
                difference=means[label] - means[base],
                gain_percent=100 * (means[label] / means[base] - 1),
                paper=paper.figure(4, label, METRIC),
            )
        rows.append(TableRow(label, base, len(given), {METRIC: cell}))
    scorer = every[0].scorers[METRIC]
    notes = [
        protocol_note(every[0].protocol),
        model_note({label: [result.protocol for result in given] for label, given in results.items()}),
        f"Classifier: {card_text(scorer['classifier'])}.",
        f"Each score is of {scorer['images']} images in {scorer['splits']} parts.",
        f"{seed_note(rows)} Of a row with one seed, ± is the standard deviation over the parts.",
        "Gains have no interval: an Inception Score is one number for all images of a folder.",
        paper.note(4),
    ]
    return Table(4, [METRIC], rows, notes)


def _base(label: str, labels: Sequence[str]) -> str | None:
    """The label of a row's base; None for a base."""
    before, plus, _ = label.partition("+")
    if plus and before in labels:
        return before
    is_base = label == labels[0] or any(other.startswith(f"{label}+") for other in labels)
    return None if is_base else labels[0]
