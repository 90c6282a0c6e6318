"""`ddecli export`: images as the official tools of benchmarks read them, votes as other tools of labels do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from ddecli.cli.options import SummaryAsJson
from ddecli.cli.prompts import named_rows


def export(
    folder: Annotated[
        Path, typer.Argument(help="A sample folder, or images with their prompts; votes of ddecli collect.")
    ],
    layout: Annotated[
        Literal["geneval", "geneval2", "dpg", "t2i-compbench", "label-studio", "rapidata"],
        typer.Option(
            help="The benchmark: GenEval (4 images a prompt are usual), GenEval 2 (1), DPG-Bench (4) or T2I-CompBench "
            "(10). Of votes: tasks of Label Studio, or a parquet file with the columns of Rapidata's data sets."
        ),
    ],
    out: Annotated[Path, typer.Option(help="A new or empty folder.")],
    prompts: Annotated[
        str | None,
        typer.Option(
            metavar="NAME=PATH or FILE",
            help="The benchmark's list, as ddecli sample takes it; the list that the images were sampled of if not "
            "given.",
        ),
    ] = None,
    as_json: SummaryAsJson = False,
) -> None:
    """Lay sampled images out as a benchmark's official tool reads them.

    Example: `ddecli sample RUN --prompts geneval=evaluation_metadata.jsonl --images-per-prompt 4`, then
    `ddecli export images/RUN --layout geneval --out geneval-images`

    The tool itself is run from its own repository; how it is called is printed. Images are copied, a PNG as it is.
    Votes: `ddecli export votes --layout rapidata --out my-votes`
    """
    from ddecli.core.console import echo
    from ddecli.core.errors import UserError
    from ddecli.core.text import to_json
    from ddecli.export.export import export_images
    from ddecli.export.votes import VOTE_LAYOUTS, export_votes

    if layout in VOTE_LAYOUTS:
        if prompts:
            raise UserError(
                f"--prompts is a benchmark's list: votes have their prompts, leave it out for {layout}."
            )
        votes = export_votes(folder, layout, out)
        echo(
            to_json(votes.as_dict())
            if as_json
            else f"{votes.out}: {votes.votes} votes on {votes.pairs} pairs. Next: {votes.about}"
        )
        return
    rows = named_rows(prompts)[1] if prompts else None
    summary = export_images(folder, layout, out, rows)
    if as_json:
        echo(to_json(summary.as_dict()))
        return
    left = summary.listed - summary.prompts
    echo(
        f"{summary.out}: {summary.images} images of {summary.prompts} prompts"
        f"{f'; {left} prompts of the list have none' if left else ''}. Next: {summary.about}"
    )
