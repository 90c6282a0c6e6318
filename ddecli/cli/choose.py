"""`ddecli choose`: the best settings of each loss from a grid of trial runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def choose(
    base: Annotated[Path, typer.Argument(help="The base model's scored images.")],
    trials: Annotated[
        list[Path],
        typer.Argument(
            help="Scored images of the trial runs, on the same prompts; of validation prompts, never of the "
            "prompts that a table reports."
        ),
    ],
    metric: Annotated[
        list[str] | None,
        typer.Option(help="Scorers that judge, all with equal weight; clip, hps and pickscore if not given."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the whole grid and the choice as JSON.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the grid and the choice as JSON.")] = False,
) -> None:
    """Choose beta and learning rate of each loss from a grid of trial runs.

    A trial is a pair of settings, with any number of training seeds. Its gain is the mean over its trainings and the
    scorers of the difference to the base, in standard deviations of the base over prompts. All trials must have had
    the same budget; of each loss, the best among the trials with the most seeds is chosen.
    """
    from rich.console import Console
    from rich.table import Table

    from ddecli.core.console import console
    from ddecli.core.files import write_json
    from ddecli.core.paths import replaceable
    from ddecli.core.scores import load_scores
    from ddecli.reporting.choose import choose as choose_best
    from ddecli.reporting.metrics import PAPER_METRICS

    if out is not None:
        replaceable(out)
    found = choose_best(
        load_scores(base), [load_scores(folder) for folder in trials], tuple(metric or PAPER_METRICS)
    )
    if out is not None:
        write_json(out, found.as_dict())
        console.print(f"Wrote {out}", highlight=False, soft_wrap=True)
    if as_json:
        typer.echo(json.dumps(found.as_dict(), ensure_ascii=False))
        return
    table = Table("loss", "beta", "learning rate", "gain", "seeds", "trials")
    for loss, best in sorted(found.best().items()):
        count = sum(trial.loss == loss for trial in found.trials)
        beta = "" if best.beta is None else f"{best.beta:g}"
        table.add_row(loss, beta, f"{best.lr:g}", f"{best.gain:.3f}", str(len(best.seeds)), str(count))
    Console().print(table)
    for edge in found.at_edge():
        typer.echo(f"At the edge of the grid, a wider one may find better: {edge}")
