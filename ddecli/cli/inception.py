"""`ddecli inception`: the Inception Score of a folder of images."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from ddecli.cli.options import Device, parse_shard
from ddecli.core.limits import MAX_BATCH, MAX_COUNT, MAX_SEED


def inception(
    source: Annotated[Path, typer.Argument(help="A sample folder, or a folder of images.")],
    classifier: Annotated[
        str,
        typer.Option(
            help="tiny (shape x colour of the tiny world), inception (Inception-V3, the inception extra), or a "
            "transformers ResNetForImageClassification folder; auto is tiny for pictures of the tiny world, else "
            "inception."
        ),
    ] = "auto",
    splits: Annotated[
        int,
        typer.Option(
            min=1,
            max=MAX_COUNT,
            help="Parts of the images that are scored apart; mean and standard deviation (n - 1) over them are given.",
        ),
    ] = 10,
    seed: Annotated[
        int,
        typer.Option(
            min=0, max=MAX_SEED, help="Decides the random order in which the images are cut into parts."
        ),
    ] = 0,
    batch_size: Annotated[
        int, typer.Option(min=1, max=MAX_BATCH, help="Images classified at once; speed and memory only.")
    ] = 64,
    device: Device = "auto",
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N",
            help="Classify only the I-th of N parts (1/4 ... 4/4); the shard that finds all classified forms the "
            "score, the same as without shards. Under accelerate launch it is set for you, with one GPU per process.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Measure how distinct and how varied the images of a folder are (Inception Score).

    The result is written to inception.json in the folder, the logits to inception-logits/: a stopped command goes
    on where it stopped, and other --splits or another --seed need no classifier again.
    """
    from ddecli.core.imports import importing

    with importing(defer=True):
        from ddecli.core.console import console, echo
        from ddecli.core.devices import choose_device
        from ddecli.core.sealed import write_sealed
        from ddecli.core.text import to_json
        from ddecli.scoring.inception_score import inception_score

    parts = parse_shard(shard)
    result = inception_score(source, classifier, splits, seed, batch_size, choose_device(device), parts)
    if not result["complete"]:
        echo(
            to_json(result)
            if as_json
            else f"{source}: {result['classified']} of {result['images']} images classified so far, other shards are "
            "not finished"
        )
        return
    if os.access(source, os.W_OK):
        write_sealed(source / "inception.json", result)
    else:
        console.print(f"{source} cannot be written to: the result is printed only.")
    if as_json:
        echo(to_json(result))
        return
    deviation = "" if result["std"] is None else f", standard deviation (n - 1) {result['std']:.4f}"
    echo(
        f"{source}: Inception Score {result['mean']:.4f}{deviation}, {result['images']} images in "
        f"{result['splits']} splits of a random order (seed {seed})"
    )
