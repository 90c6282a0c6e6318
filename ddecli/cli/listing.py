"""`ddecli list`: what there is to choose from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

import typer

Rows = list[dict[str, str]]


def list_names(
    what: Annotated[
        Literal["losses", "metrics", "models", "prompts", "recipes"],
        typer.Argument(
            help="losses of train, metrics of score, models (others are folders and hub ids), lists of prompts, or "
            "recipes: the settings that a loss is trained with by default."
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print the list as JSON.")] = False,
) -> None:
    """List losses, metrics, models, prompts or recipes by their names.

    Example: `ddecli list losses`
    """
    from ddecli.core.console import echo, show, show_grid
    from ddecli.core.text import to_json

    rows = rows_of(what)
    if as_json:
        echo(to_json(rows))
        return
    names = list(rows[0])
    if what == "recipes":
        show_grid("", names, [list(row.values()) for row in rows], keys=2)
        return
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name in names:
        table.add_column(name, no_wrap=name == "name", overflow="fold")
    for row in rows:
        table.add_row(*row.values())
    show(table)


def rows_of(what: str) -> Rows:
    """What the list holds, a row a name."""
    return LISTS[what]()


def _losses() -> Rows:
    from ddecli.objectives.registry import LOSSES

    return [
        {
            "name": loss.name,
            "what it is": loss.summary + (f" (also {', '.join(loss.also)})" if loss.also else ""),
            "paper": loss.paper,
        }
        for loss in LOSSES.values()
    ]


def _metrics() -> Rows:
    from ddecli.scoring.published import METRICS

    return [
        {"name": name, "what it is": metric.summary, "weights": metric.hub_id or "in the package"}
        for name, metric in METRICS.items()
    ]


def _models() -> Rows:
    from ddecli.models.presets import presets

    return [
        {
            "name": name,
            "family": preset["family"],
            "pixels": str(preset["resolution"]),
            "weights": preset["source"].replace("builtin:" + name, "in the package"),
        }
        for name, preset in presets().items()
    ]


def _prompts() -> Rows:
    from ddecli.sampling.benchmarks import REQUIRED, TITLES
    from ddecli.sampling.prompt_sets import IMAGENET, PUBLISHED
    from ddecli.tinyworld.prompts import SPLITS, world_prompts

    world = [(f"world:{split}", len(world_prompts(split)), "in the package") for split in SPLITS]
    published = [(name, each.count, each.repository) for name, each in PUBLISHED.items()]
    own = [(name, 0, f"your copy of {TITLES[name]}: {name}=PATH") for name in REQUIRED]
    rows = [*world, *published, (IMAGENET, 1000, "in the package"), *own]
    return [
        {"name": name, "prompts": f"{count:,}" if count else "", "from": where} for name, count, where in rows
    ]


def _recipes() -> Rows:
    from ddecli.models.presets import presets
    from ddecli.objectives.registry import LOSSES
    from ddecli.training.settings import recipe

    rows = []
    for name, preset in presets().items():
        tiny = preset["source"].startswith("builtin:")
        for lora in (False,) if tiny else (False, True):
            for loss in LOSSES:
                found = recipe(name, loss, tiny, preset["family"], lora)
                if "lr" in found:
                    row = {"model": name + (" --lora" if lora else ""), "loss": loss}
                    row |= {
                        key.replace("_", " "): f"{found[key]:g}" if key in found else ""
                        for key in ("lr", "beta", "steps", "batch_size", "warmup")
                    }
                    rows.append(row | {"optimizer": found.get("optimizer", "adamw")})
    return rows


LISTS: dict[str, Callable[[], Rows]] = {
    "losses": _losses,
    "metrics": _metrics,
    "models": _models,
    "prompts": _prompts,
    "recipes": _recipes,
}
