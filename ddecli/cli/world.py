"""`ddecli world`."""

import typer

app = typer.Typer()
