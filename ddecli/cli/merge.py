"""`ddecli merge`: a model with its LoRA weights in it, for tools that take checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from ddecli.cli.options import SummaryAsJson


def merge(
    model: Annotated[
        str,
        typer.Argument(
            help="A run, or the base: a preset, a diffusers folder, a checkpoint file or a hub id. A run without LoRA, "
            "or a base alone, is written as it is."
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            help="A name that ends in .safetensors becomes a single checkpoint file, as ComfyUI and A1111 load it; any "
            "other a diffusers folder."
        ),
    ],
    lora: Annotated[
        Path | None,
        typer.Argument(
            help="LoRA weights to put into the model: a file with diffusers', peft's or kohya's names, or a run."
        ),
    ] = None,
    dtype: Annotated[
        Literal["fp32", "fp16"], typer.Option(help="Of the numbers; fp16 takes half the space, and rounds.")
    ] = "fp32",
    as_json: SummaryAsJson = False,
) -> None:
    """Make LoRA weights part of their base.

    Example: `ddecli merge runs/sd15-dde-lora16 --out sd15-dde.safetensors --dtype fp16`
    """
    from ddecli.core.imports import importing

    with importing():
        from dataclasses import asdict

        from ddecli.core.console import echo
        from ddecli.core.text import bytes_in_words, to_json
        from ddecli.models.merge import merge as write

    summary = write(model if lora is None else f"{model}+{lora}", out, dtype)
    if as_json:
        echo(to_json(asdict(summary)))
        return
    what = f"with {', '.join(summary.loras)} in it" if summary.loras else "which has no LoRA to merge"
    echo(f"{summary.out}: {model}, {what}; {summary.dtype}, {bytes_in_words(summary.bytes)}.")
