"""`ddecli world`: look at the built-in world, or build its models again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ddecli.core.limits import MAX_SEED

app = typer.Typer(help="The built-in tiny world: look at it, or train its models again.")


@app.callback(invoke_without_command=True)
def world(context: typer.Context) -> None:
    """The built-in tiny world: look at it, or train its models again."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command()
def show(
    out: Annotated[Path, typer.Option(help="PNG file to write.")] = Path("world.png"),
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED, help="Which scenes and pairs are drawn.")] = 0,
) -> None:
    """Draw a contact sheet of scenes, flaws and preference pairs, and print what was measured of the models."""
    from rich.table import Table

    from ddecli.core.console import echo
    from ddecli.core.console import show as show_table
    from ddecli.tinyworld.measured import measured_tables
    from ddecli.tinyworld.show import show_world

    show_world(out, seed)
    for measured in measured_tables():
        table = Table(title=measured.title, title_justify="left")
        for number, name in enumerate(measured.columns):
            table.add_column(name, justify="right" if number else "left")
        for row in measured.rows:
            table.add_row(*row)
        show_table(table)
    echo(out)


@app.command()
def build(
    out: Annotated[
        Path, typer.Option(help="Folder to build in; the same folder again goes on where it stopped.")
    ],
    scale: Annotated[
        float,
        typer.Option(
            min=0.0001, max=100, help="Share of the full training steps; small values try the recipe."
        ),
    ] = 1.0,
    stage: Annotated[
        list[str] | None, typer.Option(help="Build only this stage; repeat for more. Default: all, in order.")
    ] = None,
) -> None:
    """Train every model of the world from nothing: the recipe of the weights in the package."""
    from ddecli.core.console import echo
    from ddecli.tinyworld.build import build as build_world

    build_world(out, scale, stage)
    echo(out)
