"""The record of the trial runs that beta and learning rates were chosen from, held beside the runs themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ddecli.core.errors import UserError
from ddecli.core.files import read_json
from ddecli.reporting.choose import VARIED, Choice, Trial


def load_grid(path: Path) -> Choice:
    """Read what `ddecli choose --out` wrote.

    Raises:
        UserError: it is missing or something else.
    """
    record = read_json(path)
    try:
        trials = [_trial(row) for row in record["rows"]]
        if not trials:
            raise ValueError("no rows")
        return Choice(
            dict(record["protocol"]), tuple(record["judges"]), dict(record["budget"]), record["base"], trials
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"{path} is no record of `ddecli choose`: give its --out, or leave the grid out."
        ) from error


def _trial(row: Mapping[str, Any]) -> Trial:
    return Trial(
        loss=row["loss"],
        beta=row["beta"],
        lr=float(row["lr"]),
        seeds=list(row["seeds"]),
        gain=float(row["gain"]),
        gains=list(row["gains"]),
        means=dict(row["means"]),
        train_seconds=row["train_seconds"],
    )


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
