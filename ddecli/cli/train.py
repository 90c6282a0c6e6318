"""`ddecli train`: preference pairs to an aligned model."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ddecli.cli.options import in_file_alone, parse_shard, with_settings
from ddecli.cli.stores import default_store, print_store
from ddecli.cli.summaries import Lines, of_estimate, of_reference, of_training
from ddecli.cli.watching import check_watching, watch_of
from ddecli.core.errors import UserError
from ddecli.training.described import RUN
from ddecli.training.run_fields import TrainFields

if TYPE_CHECKING:
    from ddecli.training.settings import TrainSettings

LAUNCH = Path(__file__).parents[1] / "training" / "launch"
"""Configurations of `accelerate launch`."""
EPILOG = (
    "Several GPUs: `accelerate launch --config_file LAUNCH/8-gpus-ddp.yaml -m ddecli train ...`, or 8-gpus-fsdp2.yaml "
    f"for a model that does not fit one GPU, where LAUNCH is `{LAUNCH}`."
)


@with_settings(TrainFields)
def train(
    given: dict[str, Any],
    *,
    config: Annotated[
        Path | None,
        typer.Option(
            rich_help_panel=RUN,
            help="YAML file of settings, such as the run.yaml of a run to repeat (with another --out); options win "
            f"over it. It alone can set {in_file_alone(TrainFields)}. --dry-run shows all settings in its format.",
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            rich_help_panel=RUN,
            help="Go on from the newest checkpoint in the run folder, if there is one. A finished run is left as it "
            "is; more --steps make it longer.",
        ),
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            rich_help_panel=RUN,
            help="Go on with the run in the run folder if it has the same settings and pairs, else replace it.",
        ),
    ] = False,
    push_to_hub: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=RUN,
            metavar="OWNER/NAME",
            help="Upload the model to this repository of the Hugging Face hub when training is finished; it is made, "
            "private, if there is none: its Settings make it public. Needs a token (hf auth login). Default: nothing "
            "is uploaded.",
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", rich_help_panel=RUN, help="Print every resolved setting as YAML and stop."),
    ] = False,
    estimate: Annotated[
        bool,
        typer.Option(
            "--estimate",
            rich_help_panel=RUN,
            help="Run a few steps, then print the time and memory of the whole run and what "
            "would help; nothing is kept. Without --data on pairs of noise, before there are any.",
        ),
    ] = False,
    price_per_hour: Annotated[
        float | None,
        typer.Option(
            rich_help_panel=RUN,
            metavar="PRICE",
            help="With --estimate: what an hour of this machine costs; what the run would cost is printed, too.",
        ),
    ] = None,
    reference_only: Annotated[
        bool,
        typer.Option(
            "--reference-only",
            rich_help_panel=RUN,
            help="Compute the reference's errors on all draws of this run, keep them, and stop: no gradients, and one "
            "model in memory. The run that follows reads them and loads no reference.",
        ),
    ] = False,
    shard: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=RUN,
            metavar="I/N",
            help="With --reference-only: only the I-th of N shares, for machines with a common pair store.",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", rich_help_panel=RUN, help="Print the summary as JSON.")
    ] = False,
) -> None:
    """Align a diffusion model with preference pairs.

    Example: `ddecli train --model sd15 --loss dde --data pairs/my-pairs-sd15 --lora 16`
    """
    from ddecli.training.settings import origins, resolve_settings

    settings = resolve_settings(given, config)
    share = (1, 1) if shard is None else parse_shard(shard)
    if shard is not None and not reference_only:
        raise UserError(
            f"--shard {shard} goes with --reference-only: a training is shared by accelerate launch."
        )
    if price_per_hour is not None and not (estimate and 0 <= price_per_hour < math.inf):
        what = "must be a price of 0 or more" if estimate else "goes with --estimate"
        raise UserError(f"--price-per-hour {price_per_hour:g} {what}.")
    if reference_only and settings.is_game:
        raise UserError(
            f"--reference-only needs pairs that are there before training: leave out {settings.pairs}."
        )
    prompts = check_watching(settings)
    if dry_run:
        _print_settings(settings.model_dump(), origins(given, config))
        _print_kept(settings)
        return
    from ddecli.core.imports import importing

    with importing():
        from ddecli.training.estimate import estimate as estimate_run
        from ddecli.training.hub import check_can_push, push
        from ddecli.training.reference_pass import make_reference_errors

        if settings.is_game:
            from ddecli.selfplay.iterations import play as run
        else:
            from ddecli.training.loop import train as run

    if estimate:
        from ddecli.core.console import console

        settings = _with_pairs_if_any(settings)
        if settings.data is None:
            console.print("No --data: the steps are made on pairs of noise.")
        if settings.is_game:
            console.print("Of one iteration's training; drawing its losers comes on top.")
        _print(estimate_run(settings, price_per_hour), as_json, of_estimate)
        return
    settings = _with_pairs(settings, as_json)
    if reference_only:
        _print(make_reference_errors(settings, share), as_json, of_reference)
        return
    if push_to_hub:
        check_can_push(push_to_hub)
    _print(run(settings, resume, overwrite, watch_of(settings, prompts)), as_json, of_training)
    if push_to_hub:
        push(settings.folder / "model", push_to_hub)


def _print_settings(settings: dict[str, Any], origins: dict[str, str]) -> None:
    """Show settings as YAML that `--config` takes, and behind each where its value comes from."""
    import yaml

    from ddecli.core.console import echo
    from ddecli.core.text import one_line

    for name, value in settings.items():
        line = yaml.safe_dump({name: value}, width=math.inf).rstrip("\n")
        echo(f"{line:<36}  # {one_line(origins[name])}")


def _print_kept(settings: TrainSettings) -> None:
    """Say what the reference's errors that are kept will save; not on stdout, which holds settings alone."""
    from ddecli.core.console import console
    from ddecli.core.text import one_line
    from ddecli.training.kept import say_kept

    text = say_kept(settings, Path(settings.data) if settings.data else default_store(settings.model))
    if text:
        console.print(one_line(text), highlight=False, soft_wrap=True)


def _with_pairs_if_any(settings: TrainSettings) -> TrainSettings:
    """Fill in the pair store that a tiny model would take, if it is there."""
    from ddecli.models.presets import resolve

    store = default_store(settings.model)
    if settings.data is None and resolve(settings.model).is_tiny and (store / "manifest.json").exists():
        return settings.model_copy(update={"data": str(store)})
    return settings


def _with_pairs(settings: TrainSettings, as_json: bool) -> TrainSettings:
    """Fill in the pair store of a tiny model, and prepare it where there is none yet."""
    if settings.data is not None:
        return settings
    from accelerate import PartialState

    from ddecli.models.presets import resolve
    from ddecli.tinyworld.store import prepare_world

    if not resolve(settings.model).is_tiny:
        raise UserError(f"Give --data for --model {settings.model}: a pair store made by ddecli prepare.")
    store = default_store(settings.model)
    with PartialState(cpu=settings.device == "cpu").main_process_first():
        if not (store / "manifest.json").exists():
            try:
                summary = prepare_world(settings.model, store, settings.device)
            except UserError as error:
                raise UserError(
                    f"Without --data, train begins with ddecli prepare --model {settings.model} --out {store}, which "
                    f"said: {error}"
                ) from error
            if not as_json:
                print_store(summary)
    return settings.model_copy(update={"data": str(store)})


def _print(summary: Any, as_json: bool, lines: Callable[[Any], Lines]) -> None:
    """Show a summary, on the main process only."""
    import dataclasses

    from accelerate import PartialState
    from rich.table import Table

    from ddecli.core.console import echo, show
    from ddecli.core.text import to_json

    if not PartialState().is_main_process:
        return
    if as_json:
        echo(to_json(dataclasses.asdict(summary)))
        return
    table = Table(show_header=False)
    for name, value in lines(summary):
        table.add_row(name, value)
    show(table)
