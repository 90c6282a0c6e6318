"""Everything that the article says, as data: judged claims, side effects, tables, the grid, and cautions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, PositiveInt

from ddecli.core.errors import UserError
from ddecli.core.ledger import note, noting
from ddecli.core.sealed import read_sealed
from ddecli.reproduction.article.cautions import cautions
from ddecli.reproduction.claims.verdicts import NOT_MEASURED, VERDICTS
from ddecli.reproduction.evidence import Coefficients, Evidence, LastSampled, ModelEvidence, load_evidence
from ddecli.reproduction.experiment import BASE, Experiment
from ddecli.reproduction.guidance import SecondGuidance, second_guidance
from ddecli.reproduction.papers.dde import Judged, judge
from ddecli.reproduction.regime import Regime, regime_of
from ddecli.reproduction.side_effects import SideEffects, side_effects
from ddecli.stats.intervals import CONFIDENCE, Interval
from ddecli.tables.build import score_table
from ddecli.tables.cells import Cell, Table, TableRow
from ddecli.tuning.choose import Choice
from ddecli.tuning.grid import load_grid


@dataclass(frozen=True)
class Findings:
    """What was found in an experiment.

    Attributes:
        effects: beside the base model, of every method and segment, by model.
        side_by_side: the base and every method in one table, with the difference of every two, by model.
        grids: by model.
        regimes: what trainings until logits saturate tell, by model that has them.
        guidances: what a second guidance scale tells, by model that has one.
        cautions: what weakens the results, in sentences.
        read: SHA-256 of every file that they rest on.
    """

    experiment: Experiment
    evidence: Evidence
    judged: list[Judged]
    effects: dict[str, list[SideEffects]]
    side_by_side: dict[str, Table]
    tables: dict[int, Table]
    grids: dict[str, Choice]
    cautions: list[str]
    read: dict[str, str] = field(default_factory=dict)
    regimes: dict[str, Regime] = field(default_factory=dict)
    guidances: dict[str, SecondGuidance] = field(default_factory=dict)

    @property
    def measured(self) -> list[tuple[int, Judged]]:
        """The claims that there was something to judge by, each with its number among all of the paper's."""
        return [
            (number, each)
            for number, each in enumerate(self.judged, start=1)
            if each.outcome.verdict != NOT_MEASURED
        ]

    @property
    def counts(self) -> dict[str, int]:
        """Number of claims by verdict."""
        found = Counter(each.outcome.verdict for each in self.judged)
        return {verdict: found[verdict] for verdict in VERDICTS}

    def as_dict(self) -> dict[str, Any]:
        """Plain values for claims.json."""
        return {
            "name": self.experiment.name,
            "title": self.experiment.title,
            "models": {name: model.paper for name, model in self.evidence.models.items()},
            "counts": self.counts,
            "confidence": CONFIDENCE,
            "claims": [each.as_dict() for each in self.judged],
            "side_effects": {
                model: [each.as_dict() for each in effects] for model, effects in self.effects.items()
            },
            "differences": {
                model: [asdict(each) for each in table.differences]
                for model, table in self.side_by_side.items()
            },
            "regimes": {model: each.as_dict() for model, each in self.regimes.items()},
            "second_guidance": {model: each.as_dict() for model, each in self.guidances.items()},
            "cautions": self.cautions,
            "read": self.read,
        }


_Numbers = Annotated[list[FiniteFloat], Field(min_length=2, max_length=2)]


class _Cell(BaseModel):
    """A cell of a table in JSON, see `Cell`."""

    model_config = ConfigDict(extra="forbid")

    mean: FiniteFloat
    spread: FiniteFloat | None = None
    standard_error: FiniteFloat | None = None
    difference: FiniteFloat | None = None
    difference_interval: _Numbers | None = None
    gain_percent: FiniteFloat | None = None
    gain_interval: _Numbers | None = None
    paper: str = ""
    below: int | None = None
    shown: bool = False
    interval: _Numbers | None = None
    best: bool = False


class _Row(BaseModel):
    label: str
    base: str | None
    seeds: PositiveInt
    cells: dict[str, _Cell]


class _Table(BaseModel):
    """What of a table in JSON is needed."""

    number: int
    metrics: list[str]
    rows: list[_Row]
    notes: list[str]


def find(
    experiment: Experiment, coefficients: Coefficients, last_sampled: LastSampled | None = None
) -> Findings:
    """Read an experiment's results, put its methods side by side, and judge the paper's claims by them.

    Args:
        coefficients: gives the single-shot coefficients of a model, by its name.
        last_sampled: gives the largest timestep that sampling visits.

    Raises:
        UserError: something that the experiment names is missing, damaged, or not comparable.
    """
    with noting() as read:
        evidence = load_evidence(experiment, coefficients, last_sampled)
        grids = {name: load_grid(path) for name, path in experiment.grids().items()}
        effects = {name: side_effects(model) for name, model in evidence.models.items()}
        tables: dict[int, Table] = {
            number: load_table(path, number) for number, path in sorted(experiment.tables.items())
        }
        regimes = {name: regime_of(model) for name, model in evidence.models.items()}
        guidances = {name: second_guidance(model) for name, model in evidence.models.items()}
        return Findings(
            experiment,
            evidence,
            judge(evidence),
            effects,
            {name: side_by_side(model) for name, model in evidence.models.items()},
            tables,
            grids,
            cautions(evidence, grids, effects),
            dict(sorted(read.items())),
            {name: found for name, found in regimes.items() if found},
            {name: scales for name, scales in guidances.items() if scales},
        )


def side_by_side(model: ModelEvidence) -> Table:
    """The base and every method of a model; segments have a table of their own."""
    sets = {model.label(row): model.scores[row] for row in [BASE, *model.methods]}
    return score_table(None, sets)


def load_table(path: Path, number: int) -> Table:
    """Read a table as `ddecli table NUMBER --json` prints it.

    Raises:
        UserError: it is missing, or no such table.
    """
    found = read_sealed(path, f"build it again with `ddecli table {number} ... --json`", _Table)
    if found["number"] != number:
        raise UserError(f"{path} is table {found['number']}, not {number}.")
    note(path)
    rows = [
        TableRow(
            row["label"],
            row["base"],
            row["seeds"],
            {name: _cell(cell) for name, cell in row["cells"].items()},
        )
        for row in found["rows"]
    ]
    return Table(found["number"], found["metrics"], rows, found["notes"])


def _cell(values: Mapping[str, Any]) -> Cell:
    intervals = {
        name: Interval(*values[name])
        for name in ("interval", "difference_interval", "gain_interval")
        if values.get(name) is not None
    }
    return Cell(**(dict(values) | intervals))
