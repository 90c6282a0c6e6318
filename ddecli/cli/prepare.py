"""`ddecli prepare`: preference pairs to a pair store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ddecli.core.errors import UserError

if TYPE_CHECKING:
    from ddecli.data.prepare import PrepareSummary

WORLD = "world"
WORLD_PAIRS = 6000


def prepare(
    model: Annotated[
        str,
        typer.Option(
            help="Whose autoencoder and text encoders are used: a preset (tiny, tiny-xl, sd15, sdxl), a "
            "diffusers folder, a run folder or a hub id."
        ),
    ] = "tiny",
    data: Annotated[
        str | None,
        typer.Option(
            help="world (pairs of the built-in world), a folder with metadata.jsonl or metadata.csv beside "
            "its pictures, a parquet file, or a folder of shards. world for tiny models if not given."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the store; pairs/DATA-MODEL if not given.")
    ] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CANONICAL=ACTUAL",
            help="Name a column of the data; repeat it, or separate with commas. Canonical names: prompt, "
            "chosen, rejected; or prompt, image_0, image_1, label_0 (1: the first was preferred, 0: the "
            "second, 0.5: a tie). Usual names are found without it.",
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1, help=f"Use the first pairs only; if not given, all (of the world {WORLD_PAIRS:,})."
        ),
    ] = None,
    max_bad: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="Largest share of damaged or incomplete rows; above it nothing is written. Ties and "
            "duplicates are dropped and do not count.",
        ),
    ] = 0.01,
    batch_size: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Pictures encoded at once: speed and memory only. 64 up to 256 pixels, 16 at 512, 4 at "
            "1024, if not given.",
        ),
    ] = None,
    latent_dtype: Annotated[
        Literal["auto", "float16", "float32"],
        typer.Option(
            help="Precision in which latents and text embeddings are stored; auto is float32 when a latent "
            "has at most 1,024 numbers, else float16."
        ),
    ] = "auto",
    precision: Annotated[
        Literal["float32", "bfloat16", "float16"],
        typer.Option(help="Precision of the encoders. SDXL's own autoencoder overflows in float16."),
    ] = "float32",
    device: Annotated[
        Literal["auto", "cpu", "cuda"], typer.Option(help="auto takes the GPU if there is one.")
    ] = "auto",
    seed: Annotated[int, typer.Option(help="Decides the pairs of the world; other data ignore it.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a store that is there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Encode every picture and prompt of preference pairs once, into a store that training reads."""
    import diffusers
    import torch
    import transformers

    from ddecli.core.devices import choose_device
    from ddecli.data.columns import parse_mapping
    from ddecli.data.pairs import Rejects
    from ddecli.data.prepare import check_output
    from ddecli.data.prepare import prepare as prepare_pairs
    from ddecli.data.sources import open_source
    from ddecli.models.load import load_model
    from ddecli.models.presets import resolve

    found = resolve(model)
    if data is None:
        if not found.is_tiny:
            raise UserError(f"Give --data for --model {model}: a folder of pictures or parquet files.")
        data = WORLD
    out = out or default_store(model, data)
    check_output(out, overwrite)

    rejects = Rejects()
    if data == WORLD:
        from ddecli.tinyworld.pairs import world_pairs

        total = limit or WORLD_PAIRS
        pairs, source = world_pairs(total, seed, rejects), f"{WORLD}, seed {seed}"
    else:
        pairs, total = open_source(Path(data), parse_mapping(columns or []), rejects)
        source = str(Path(data).resolve())
    # Long prompts are counted; the libraries would print each of them.
    diffusers.utils.logging.set_verbosity_error()
    transformers.utils.logging.set_verbosity_error()
    summary = prepare_pairs(
        pairs,
        load_model(model, choose_device(device), getattr(torch, precision)),
        out,
        source=source,
        rejects=rejects,
        total=total,
        limit=limit,
        max_bad=max_bad,
        batch_size=batch_size,
        dtype=None if latent_dtype == "auto" else getattr(torch, latent_dtype),
        overwrite=overwrite,
    )
    _print(summary, as_json)


def default_store(model: str, data: str = WORLD) -> Path:
    """Where a store lies if --out is not given."""
    return Path("pairs") / f"{Path(data).stem}-{Path(model).name}"


def _print(summary: PrepareSummary, as_json: bool) -> None:
    import dataclasses
    import json

    from rich.console import Console
    from rich.table import Table

    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(summary)))
        return
    table = Table(title=f"Pair store {summary.out}", show_header=False)
    table.add_row("pairs", f"{summary.pairs:,} of {summary.rows:,} rows")
    table.add_row("pictures", f"{summary.images:,}, {summary.upscaled_images:,} of them enlarged")
    table.add_row("prompts", f"{summary.prompts:,}, the empty one among them")
    if summary.long_prompts:
        table.add_row(
            "", f"{summary.long_prompts:,} are longer than the text encoder takes: their ends are cut"
        )
    for reason, count in sorted(summary.dropped.items(), key=lambda item: -item[1]):
        table.add_row("dropped", f"{count:,}: {reason}")
    table.add_row("on disk", f"{summary.bytes / 1e6:,.1f} MB")
    table.add_row("time", f"{summary.seconds:,.1f} s, {summary.pairs / summary.seconds:,.1f} pairs/s")
    Console().print(table)
