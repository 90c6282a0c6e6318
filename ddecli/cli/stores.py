"""Pair stores as commands name and show them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ddecli.core.errors import UserError

if TYPE_CHECKING:
    from ddecli.data.summary import PrepareSummary
    from ddecli.models.presets import ModelSource

WORLD = "world"
"""What the pairs of the built-in world are called."""


def default_data(source: ModelSource) -> str:
    """The data of a model that is given none. Raises UserError if it needs some."""
    if source.is_tiny:
        return WORLD
    raise UserError(f"Give --data for --model {source.name}: a folder of pictures or parquet files.")


def default_store(model: str, data: str = WORLD, subset: str | None = None) -> Path:
    """Where a store lies if --out is not given."""
    from ddecli.models.presets import short_name

    return Path("pairs") / "-".join([Path(data).stem, *([subset] if subset else []), short_name(model)])


def print_store(summary: PrepareSummary, as_json: bool = False) -> None:
    """Show what was prepared."""
    import dataclasses

    from rich.table import Table

    from ddecli.core.console import echo, show
    from ddecli.core.picture_files import count_left_out
    from ddecli.core.text import to_json

    if as_json:
        echo(to_json(dataclasses.asdict(summary)))
        return
    if not summary.complete:
        echo(
            f"{summary.out}: this shard is done, {summary.pairs:,} pairs of {summary.rows:,} rows; other shards are "
            "not finished. The last one joins them."
        )
        return
    table = Table(title=f"Pair store {summary.out}", show_header=False)
    name = "captions" if summary.winners_only else "pairs"
    table.add_row(name, f"{summary.pairs:,} of {summary.rows:,} rows")
    table.add_row("pictures", f"{summary.images:,}, {summary.upscaled_images:,} of them enlarged")
    table.add_row("prompts", f"{summary.prompts:,}, the empty one among them")
    if summary.long_prompts:
        table.add_row(
            "", f"{summary.long_prompts:,} are longer than the text encoder takes: their ends are cut"
        )
    if summary.left_out:
        table.add_row("left out", count_left_out(summary.left_out))
    for reason, count in sorted(summary.dropped.items(), key=lambda item: -item[1]):
        table.add_row("dropped", f"{count:,}: {reason}")
    for note, count in summary.notes.items():
        table.add_row("noted", f"{count:,}: {note}")
    if summary.holdout:
        table.add_row("held out", f"{summary.holdout_pairs:,} pairs, in {summary.holdout}")
    table.add_row("on disk", f"{summary.bytes / 1e6:,.1f} MB")
    table.add_row("time", f"{summary.seconds:,.1f} s, {summary.pairs / summary.seconds:,.1f} pairs/s")
    show(table)
