"""The record of the trial runs that beta and learning rates were chosen from, held beside the runs themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ddecli.core.errors import UserError
from ddecli.core.files import read_json
from ddecli.reporting.choose import VARIED, Choice, Trial


@dataclass(frozen=True)
class Grid:
    """A record, and whether all of its trials have been run."""

    choice: Choice
    complete: bool
    prompts: int | None


def load_grid(path: Path) -> Grid:
    """Read what `ddecli choose --out` or `benchmarks/grid.py` wrote.

    Raises:
        UserError: it is missing or something else.
    """
    record = read_json(path)
    try:
        trials = [_trial(row) for row in record["rows"]]
        budget, protocol = dict(record.get("budget", {})), dict(record.get("protocol", {}))
        prompts = protocol.get("num_prompts", record.get("prompts"))
        if not trials:
            raise ValueError("no rows")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"{path} is no record of `ddecli choose`: give its --out, or leave the grid out."
        ) from error
    choice = Choice(protocol, (), budget, record.get("base", {}), trials)
    return Grid(choice, record.get("complete", True), prompts)


def _trial(row: Mapping[str, Any]) -> Trial:
    gain = float(row["gain"])
    return Trial(
        loss=row["loss"],
        beta=row.get("beta"),
        lr=float(row["lr"]),
        seeds=list(row.get("seeds", [0])),
        gain=gain,
        gains=list(row.get("gains", [gain])),
        means={},
        train_seconds=row.get("train_seconds"),
    )


def grid_warnings(grid: Grid, runs: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """What a reader should know of how the settings were chosen.

    Args:
        runs: the settings of every run, by method.
    """
    found, uncovered, others = [], [], []
    if not grid.complete:
        found.append("the grid was not run to its end: a better cell may be missing.")
    best = grid.choice.best()
    losses = {settings["loss"] for given in runs.values() for settings in given}
    edges = [edge for edge in grid.choice.at_edge() if edge.split(":")[0] in losses]
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
    for name, value in grid.choice.budget.items():
        used_values = {settings.get(name) for given in runs.values() for settings in given}
        if name != "seed" and used_values - {value}:
            listed = ", ".join(str(each) for each in sorted(used_values, key=str))
            found.append(f"the trials of the grid had {name} {value}, the reported trainings {listed}.")
    return found
