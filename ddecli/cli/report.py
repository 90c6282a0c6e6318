"""`ddecli report`: an experiment as an article: its methods side by side, and the claims of the paper it can test."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import numpy as np


def report(
    experiment: Annotated[
        Path,
        typer.Argument(
            help="What was measured: a YAML file that names scored images, runs, tables and figures."
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(help="Folder for reproduction.md, .html, .pdf and claims.json; the figures lie in it."),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print the judged claims as JSON.")] = False,
) -> None:
    """Write what was measured as an article: every method beside its base and the others, with intervals.

    Where a model of the experiment stands for one of the DDE paper's, its claims are tested one by one. The least
    that the file may hold: `{name: mine, title: Mine, models: {my-model: {scores: {base: [images/a], ours:
    [images/b]}}}}`; the workflow writes one.

    Example: `ddecli report experiment.yaml --out paper/tiny`
    """
    from ddecli.core.console import console, echo
    from ddecli.core.imports import importing
    from ddecli.core.text import to_json
    from ddecli.reproduction.article.write import write_report

    def coefficients(model: str) -> np.ndarray:
        with importing(defer=True):  # what few articles ask for
            from ddecli.models.schedulers import load_schedule

        return load_schedule(model).single_shot_weights.numpy()

    def last_sampled(model: str, steps: int, spacing: str) -> int:
        with importing(defer=True):
            from ddecli.models.schedulers import load_scheduler
            from ddecli.sampling.samplers import last_timestep

        return last_timestep(load_scheduler(model), steps, spacing)

    findings, files = write_report(experiment, out, coefficients, last_sampled)
    console.print(f"Wrote {', '.join(str(file) for file in files)}")
    if not any(file.suffix == ".pdf" for file in files):
        console.print("No PDF was made: `pip install 'ddecli[report]'`, then run this again.")
    if as_json:
        echo(to_json(findings.as_dict()))
        return
    if findings.measured:
        echo(", ".join(f"{number} {verdict}" for verdict, number in findings.counts.items()))
