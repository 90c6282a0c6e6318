"""`ddecli workflow`: the Snakemake workflow that rebuilds the paper, for whoever has no copy of the repository."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="The Snakemake workflow that rebuilds the paper's tables, figures and article.")


@app.callback(invoke_without_command=True)
def workflow(context: typer.Context) -> None:
    """The Snakemake workflow that rebuilds the paper's tables, figures and article."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="Folder to write Snakefile and workflow/ to.")],
) -> None:
    """Write the workflow to a folder, to be run there with snakemake.

    Example: `ddecli workflow init my-paper`
    """
    from ddecli.core.console import echo, show_text
    from ddecli.core.workflow_files import has_snakemake, write_workflow

    write_workflow(folder)
    if not has_snakemake():
        show_text("Snakemake is not installed: pip install 'ddecli[workflow,report]'.")
    echo(f"Wrote {folder}. To run the tiny experiment there: cd {folder} && snakemake --cores all")
