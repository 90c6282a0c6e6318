"""`ddecli figure`: the paper's figures from scored folders and runs."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from ddecli.cli.rows import parse_rows
from ddecli.core.errors import UserError
from ddecli.core.limits import MAX_COUNT
from ddecli.figures.catalogue import FIGURES


class _Figures(TyperGroup):
    """Says which figures there are when another one is asked for."""

    def get_command(self, context: Any, name: str) -> Any:
        if name not in self.commands:
            raise UserError(f"There is no figure {name!r}: choose from {', '.join(self.commands)}.")
        return super().get_command(context, name)


app = typer.Typer(cls=_Figures, help="Draw a figure of the paper from scored folders and runs.")

Scored = Annotated[
    list[str],
    typer.Argument(
        metavar="LABEL=FOLDER",
        help="Scored images by label, the base first. One label several times: the folders are its training seeds.",
    ),
]
Runs = Annotated[
    list[str],
    typer.Argument(
        metavar="LABEL=FOLDER",
        help="Runs by label. One label several times: the folders are its training seeds.",
    ),
]
Out = Annotated[
    Path, typer.Option(help="Write OUT.png, OUT.pdf and OUT.json, the plotted numbers; as in paper/segments.")
]
Title = Annotated[str | None, typer.Option(help="A line above the figure; none if not given.")]
Metrics = Annotated[
    list[str] | None,
    typer.Option(help="clip, hps, pickscore, truth ...; repeat it. All that every folder has if not given."),
]


@app.callback(invoke_without_command=True)
def figure(context: typer.Context) -> None:
    """Draw a figure of the paper from scored folders and runs."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command("segments", short_help=FIGURES["segments"])
def segments(
    rows: Scored,
    out: Out,
    metric: Metrics = None,
    title: Title = None,
) -> None:
    """Scores of training on parts of the trajectory (paper, Fig. 3).

    The first row is the base model, the second training on the full range, all others are segments: their label
    is the part of t/T, as in 0.3-0.4. Error bars, and the band of the full range, are 95 % intervals of the
    difference to the base.
    """
    _write(out, title, "segments", parse_rows(rows), metric or ())


@app.command("beat-ratios", short_help=FIGURES["beat-ratios"])
def beat_ratios(
    rows: Scored,
    out: Out,
    metric: Metrics = None,
    title: Title = None,
) -> None:
    """Share of image pairs (same prompt and number) that beat the base model, ties half (paper, Fig. 5)."""
    _write(out, title, "beat_ratios", parse_rows(rows), metric or ())


@app.command("coefficients", short_help=FIGURES["coefficients"])
def coefficients(
    out: Out,
    model: Annotated[str, typer.Option(help="Preset, diffusers folder, run or hub id.")] = "tiny",
    title: Title = None,
) -> None:
    """The weights of the losses by timestep: 1/SNR(t), its half, 1/2 and t lambda_t (paper, Sec. 3.4)."""
    from ddecli.core.imports import importing

    with importing(defer=True):
        from ddecli.models.schedulers import load_schedule
        from ddecli.objectives.registry import loss_weights

    schedule = load_schedule(model)
    weights = {name: weight.numpy() for name, weight in loss_weights(schedule).items()}
    _write(out, title, "coefficients", model, schedule.single_shot_weights.numpy(), weights)


@app.command("corrections", short_help=FIGURES["corrections"])
def corrections(rows: Runs, out: Out, title: Title = None) -> None:
    """DDE's correction terms by timestep after training, and how they settle (paper, Sec. 4.4)."""
    _write(out, title, "corrections", parse_rows(rows))


@app.command("log-sigmoid", short_help=FIGURES["log-sigmoid"])
def log_sigmoid(
    out: Out,
    rows: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[LABEL=FOLDER]",
            help="Runs by label, to mark the mean and standard deviation of their last logits.",
        ),
    ] = None,
    title: Title = None,
) -> None:
    """The loss, its gradient and where it saturates, with the logits that runs reached (paper, Sec. 3.4)."""
    _write(out, title, "log_sigmoid", parse_rows(rows or []))


@app.command("credit", short_help=FIGURES["credit"])
def credit(rows: Runs, out: Out, title: Title = None) -> None:
    """Which timesteps got the gradient: the weight of a visit by timestep, and shares of the total."""
    _write(out, title, "credit", parse_rows(rows))


@app.command("credit-steps", short_help=FIGURES["credit-steps"])
def credit_steps(
    rows: Runs,
    out: Out,
    by: Annotated[
        Literal["norm", "weight"] | None,
        typer.Option(
            help="Credit is the norm of a pair's gradient in the weights (of runs with --credit-gradients), or the "
            "gradient weight |dL/dD|, whose shares are those of its unit, errors of the noise. Norms if every run has "
            "them, if not given."
        ),
    ] = None,
    title: Title = None,
) -> None:
    """Shares of credit in three parts of the trajectory over training, and the sigmoid factor.

    Example: `ddecli figure credit-steps "beta 20"=runs/a "beta 320"=runs/b --out paper/credit-steps`
    """
    _write(out, title, "credit_steps", parse_rows(rows), by)


@app.command("curves", short_help=FIGURES["curves"])
def curves(rows: Runs, out: Out, title: Title = None) -> None:
    """Loss, implicit accuracy, margin and gradient norm over training."""
    _write(out, title, "curves", parse_rows(rows))


@app.command("images", short_help=FIGURES["images"])
def images(
    rows: Annotated[
        list[str],
        typer.Argument(metavar="LABEL=FOLDER", help="A sample folder by label, the base first."),
    ],
    out: Out,
    prompts: Annotated[
        int, typer.Option(min=1, max=1000, help="How many, spread evenly over the prompt set.")
    ] = 6,
    image_index: Annotated[
        int, typer.Option(min=0, max=MAX_COUNT, help="Number of the picture among those of its prompt.")
    ] = 0,
    title: Title = None,
) -> None:
    """Images of the same prompts and seeds side by side (paper, Figs. 4 and 6).

    No picture is picked by hand: prompts are spread evenly over the set, the picture's number is the same everywhere.
    """
    _write(out, title, "images", parse_rows(rows), prompts, image_index)


def _write(out: Path, title: str | None, figure: str, *given: Any) -> None:
    """Draw a figure of what the `numbers` of its module make of what is `given`."""
    from ddecli.core.imports import importing

    with importing():
        from ddecli.core.console import console
        from ddecli.core.ledger import noting
        from ddecli.figures.save import save_figure

        drawn = import_module(f"ddecli.figures.{figure}")
    with noting() as read:
        numbers = drawn.numbers(*given)
    stem = save_figure(out, numbers | {"read": read}, drawn.draw, title)
    console.print(f"Wrote {stem}.png, .pdf and .json")
