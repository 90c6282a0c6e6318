"""`ddecli card`: pictures and scores in a finished run's model card."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ddecli.cli.options import SummaryAsJson


def card(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.")],
    images: Annotated[
        Path, typer.Argument(help="A sample of it (ddecli sample), scored if scores are to be shown.")
    ],
    against: Annotated[
        Path | None,
        typer.Option(help="A scored sample of the base, of the same prompts and settings, to compare with."),
    ] = None,
    push_to_hub: Annotated[
        str | None,
        typer.Option(
            metavar="OWNER/NAME",
            help="Upload the model with its card to this repository of the Hugging Face hub, as ddecli train does.",
        ),
    ] = None,
    as_json: SummaryAsJson = False,
) -> None:
    """Put a gallery and scores into a run's model card.

    Example: `ddecli card runs/sd15-dde images/sd15-dde --against images/sd15`

    What was written into the card by hand stays, but for its sections Samples and Scores.
    """
    from ddecli.core.imports import importing

    with importing():
        from dataclasses import asdict

        from ddecli.core.console import echo
        from ddecli.core.text import to_json
        from ddecli.publishing.card import show_in_card

        if push_to_hub:
            from ddecli.training.hub import check_can_push, push

            check_can_push(push_to_hub)
    summary = show_in_card(run, images, against)
    if as_json:
        echo(to_json(asdict(summary)))
    else:
        scores = f"scores of {', '.join(summary.metrics)}" if summary.metrics else "no scores"
        echo(f"{summary.card}: {summary.pictures} pictures, {scores}.")
    if push_to_hub:
        push(run / "model", push_to_hub)
