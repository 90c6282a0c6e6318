"""The record of the trial runs that beta and learning rates were chosen from, held beside the runs themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, FiniteFloat

from ddecli.core.ledger import note
from ddecli.core.sealed import read_sealed
from ddecli.tuning.choose import VARIED, Choice, Trial


class _Row(BaseModel):
    """A trial, see `Trial`."""

    loss: str
    beta: FiniteFloat | None
    lr: FiniteFloat
    seeds: list[int]
    gain: FiniteFloat
    gains: list[FiniteFloat]
    means: dict[str, FiniteFloat]
    train_seconds: FiniteFloat | None


class _Record(BaseModel):
    """What of a record is needed."""

    protocol: dict[str, Any]
    judges: list[str]
    budget: dict[str, Any]
    base: dict[str, FiniteFloat]
    rows: list[_Row] = Field(min_length=1)


def load_grid(path: Path) -> Choice:
    """Read what `ddecli choose --out` wrote.

    Raises:
        UserError: it is missing or something else.
    """
    record = read_sealed(path, "give the --out of `ddecli choose`, or leave the grid out", _Record)
    note(path)
    trials = [Trial(**{name: row[name] for name in _Row.model_fields}) for row in record["rows"]]
    return Choice(record["protocol"], tuple(record["judges"]), record["budget"], record["base"], trials)


def grid_warnings(grid: Choice, runs: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """What a reader should know of how the settings were chosen.

    Args:
        runs: the settings of every run, by method.
    """
    found, uncovered, others = [], [], []
    best = grid.best()
    losses = {settings["loss"] for given in runs.values() for settings in given}
    edges = [edge for edge in grid.at_edge() if edge.split(":")[0] in losses]
    if edges:
        found.append(
            f"the best trial lies at the edge of the grid, a wider one may find better: {'; '.join(edges)}."
        )
    for method, given in runs.items():
        for loss in dict.fromkeys(settings["loss"] for settings in given):
            if loss not in best:
                uncovered.append(method)
                continue
            for name in VARIED:
                chosen, used = getattr(best[loss], name), {float(settings[name]) for settings in given}
                if chosen is not None and used != {chosen}:
                    values = " and ".join(f"{value:g}" for value in sorted(used))
                    others.append(f"{method} {name} {values} instead of {chosen:g}")
    if others:
        found.append(
            f"trainings were made with other settings than the best of the grid: {'; '.join(others)}."
        )
    if uncovered:
        found.append(
            f"the grid has no trials of {', '.join(uncovered)}: how their settings were chosen is not known."
        )
    for name, value in grid.budget.items():
        used_values = {settings.get(name) for given in runs.values() for settings in given}
        if name != "seed" and used_values - {value}:
            listed = ", ".join(str(each) for each in sorted(used_values, key=str))
            found.append(f"the trials of the grid had {name} {value}, the reported trainings {listed}.")
    return found
