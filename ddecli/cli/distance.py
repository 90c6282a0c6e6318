"""`ddecli distance`: how far two folders of pictures are from each other."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ddecli.cli.options import Device, by_metric
from ddecli.core.limits import MAX_BATCH


def distance(
    source: Annotated[Path, typer.Argument(help="A sample folder, or a folder of images.")],
    against: Annotated[Path, typer.Argument(help="Another one: of pictures that people took, say.")],
    metric: Annotated[
        list[str] | None,
        typer.Option(
            help="fid: Frechet distance of features of Inception-V3 (the inception extra). cmmd: squared maximum mean "
            "discrepancy of CLIP embeddings, times 1000. Repeat it; both if not given."
        ),
    ] = None,
    classifier: Annotated[
        str,
        typer.Option(
            help="Whose features FID takes: tiny, inception, or a transformers ResNetForImageClassification folder; "
            "auto is tiny for pictures of the tiny world, else inception."
        ),
    ] = "auto",
    scorer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="clip=FOLDER",
            help="The CLIP of cmmd from a folder, as ddecli score takes it. CMMD as published has OpenAI's ViT-L/14 at "
            "336 pixels; if not given, it is the CLIP of ddecli score.",
        ),
    ] = None,
    batch_size: Annotated[
        int, typer.Option(min=1, max=MAX_BATCH, help="Images looked at at once; speed and memory only.")
    ] = 64,
    device: Device = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Measure how far the images of two folders are from each other, as distributions (FID, CMMD).

    Example: `ddecli distance images/sd15-dde photographs/`

    Both depend on how many images there are: compare numbers of equal counts only. They say nothing of prompts.
    """
    from ddecli.core.errors import UserError

    folders = {name: Path(folder) for name, folder in by_metric("--scorer", "FOLDER", scorer or [])}
    if unknown := next((name for name in folders if name != "clip"), None):
        raise UserError(f"--scorer {unknown}: distances take a CLIP alone; write clip=FOLDER.")
    from ddecli.core.imports import importing

    with importing(defer=True):
        from ddecli.core.console import echo
        from ddecli.core.devices import choose_device
        from ddecli.core.text import to_json
        from ddecli.scoring.distances import METRICS, DistanceSettings, check_distances, distances

    names = check_distances(metric or list(METRICS))
    settings = DistanceSettings(names, classifier, folders, batch_size, choose_device(device))
    found = distances(source, against, settings)
    if as_json:
        rows = [each.as_dict() for each in found]
        echo(to_json({"source": str(source), "against": str(against), "distances": rows}))
        return
    for each in found:
        echo(
            f"{METRICS[each.metric]} {each.value:.4g}: {each.images} images of {source} and {each.against_images} of "
            f"{against}, by {each.card['model']}"
        )
