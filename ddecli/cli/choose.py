"""`ddecli choose`: the best settings of each loss from a grid of trial runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ddecli.cli.completion import metrics


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
        typer.Option(
            autocompletion=metrics,
            help="Scorers that judge, all with equal weight; clip, hps and pickscore if not given.",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the whole grid and the choice as JSON.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the grid and the choice as JSON.")] = False,
) -> None:
    """Choose beta and learning rate of each loss from a grid of trial runs.

    A trial is a pair of settings, with any number of training seeds. Its gain is the mean over its trainings and the
    scorers of the difference to the base, in standard deviations of the base over prompts. All trials must have had
    the same budget; of each loss, the best among the trials with the most seeds is chosen.
    """
    from rich.table import Table

    from ddecli.core.console import console, echo, show
    from ddecli.core.ledger import noting
    from ddecli.core.paths import replaceable
    from ddecli.core.scores import load_scores
    from ddecli.core.sealed import write_sealed
    from ddecli.core.text import to_json
    from ddecli.stats.metrics import PAPER_METRICS
    from ddecli.tuning.choose import choose as choose_best

    if out is not None:
        replaceable(out)
    with noting() as read:
        found = choose_best(
            load_scores(base), [load_scores(folder) for folder in trials], tuple(metric or PAPER_METRICS)
        )
    record = found.as_dict() | {"read": read}
    if out is not None:
        write_sealed(out, record)
        console.print(f"Wrote {out}")
    if as_json:
        echo(to_json(record))
        return
    table = Table("loss", "beta", "learning rate", "gain", "seeds", "trials")
    for loss, best in sorted(found.best().items()):
        count = sum(trial.loss == loss for trial in found.trials)
        beta = "" if best.beta is None else f"{best.beta:g}"
        table.add_row(loss, beta, f"{best.lr:g}", f"{best.gain:.3f}", str(len(best.seeds)), str(count))
    show(table)
    for edge in found.at_edge():
        echo(f"At the edge of the grid, a wider one may find better: {edge}")
