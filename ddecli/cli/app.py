"""The `ddecli` command: its subcommands, and how an error reaches the user."""

from __future__ import annotations

import io
import os
import sys
from typing import Annotated

import typer
from typer.exceptions import Abort, TyperException

from ddecli import __version__
from ddecli.cli import (
    card,
    choose,
    collect,
    distance,
    export,
    figure,
    inception,
    listing,
    merge,
    prepare,
    report,
    sample,
    score,
    table,
    train,
    workflow,
    world,
)
from ddecli.cli.stop import BY_CTRL_C, stoppable
from ddecli.core.console import LIBRARY_NOTES
from ddecli.core.errors import Stopped, UserError
from ddecli.core.text import is_text, one_line

app = typer.Typer(
    name="ddecli",
    help="Align text-to-image diffusion models with preference pairs, and measure the result.",
    invoke_without_command=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
app.command("collect")(collect.collect)
app.command("prepare")(prepare.prepare)
app.command("train", epilog=train.EPILOG)(train.train)
app.command("sample")(sample.sample)
app.command("score")(score.score)
app.command("inception")(inception.inception)
app.command("distance")(distance.distance)
app.command("export")(export.export)
app.command("merge")(merge.merge)
app.command("card")(card.card)
app.command("choose")(choose.choose)
app.command("table")(table.table)
app.command("report")(report.report)
app.command("list")(listing.list_names)
app.add_typer(figure.app, name="figure")
app.add_typer(world.app, name="world")
app.add_typer(workflow.app, name="workflow")

QUICK = ("list", "workflow")
"""Commands that answer at once."""


def _print_version(value: bool) -> None:
    if value:
        typer.echo(f"ddecli {__version__}")
        raise typer.Exit()


@app.callback()
def root(
    context: typer.Context,
    debug: Annotated[
        bool, typer.Option("--debug", envvar="DDECLI_DEBUG", help="Show the full traceback of an error.")
    ] = False,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop."),
    ] = False,
) -> None:
    """Align text-to-image diffusion models with preference pairs, and measure the result."""
    if debug:
        os.environ["DDECLI_DEBUG"] = "1"
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
    elif context.invoked_subcommand not in QUICK and not {"--help", "-h"} & set(sys.argv):
        _say_start(context.invoked_subcommand)


def _say_start(command: str) -> None:
    """A word to whoever waits: the libraries take seconds to import."""
    if sys.stderr.isatty() and os.environ.get("RANK", "0") == "0":
        print(f"ddecli {command}: starting ...", file=sys.stderr, flush=True)


def _complain(message: str) -> None:
    """Say why the command ended, in one line that does nothing to a terminal."""
    print(f"Error: {one_line(message)}", file=sys.stderr)


def _check_arguments() -> None:
    """Refuse what is no text: it would end in prompts, labels and records."""
    for argument in sys.argv[1:]:
        if not is_text(argument):
            raise UserError(
                f"The argument {argument} is not UTF-8: write it in UTF-8, and rename a file that is called so."
            )


def main() -> None:
    """Run the command line; input that cannot be used ends in one sentence and exit code 2."""
    for name, value in LIBRARY_NOTES.items():
        os.environ.setdefault(name, value)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal of another encoding lacks letters
            stream.reconfigure(errors="backslashreplace")
    with stoppable() as stop:
        try:
            _check_arguments()
            code = app(standalone_mode=False, prog_name="ddecli")
            if code == BY_CTRL_C:  # typer has caught it
                raise KeyboardInterrupt
            sys.exit(code)
        except (UserError, TyperException) as error:
            if os.environ.get("DDECLI_DEBUG"):
                raise
            _complain(error.format_message() if isinstance(error, TyperException) else str(error))
            sys.exit(2)
        except OSError as error:  # a full disk or a locked folder where nothing more can be said of it
            if os.environ.get("DDECLI_DEBUG"):
                raise
            where = f"{error.filename}: " if error.filename else ""
            _complain(f"{where}{error.strerror or error}.")
            sys.exit(2)
        except RuntimeError as error:
            if type(error).__name__ != "OutOfMemoryError" or os.environ.get("DDECLI_DEBUG"):  # torch's
                raise
            _complain(
                "Too little memory on the device: end what else takes memory there, or take less at once (of train "
                "--micro-batch-size, of others --batch-size)."
            )
            sys.exit(2)
        except Stopped as stopped:
            stop.tell(stopped.what)
            sys.exit(128 + stopped.signal)
        except (KeyboardInterrupt, Abort):
            stop.tell()
            sys.exit(stop.code)
