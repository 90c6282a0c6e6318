"""Sheets with the images of two models side by side: those of the first prompts, and those that changed most."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

from PIL import Image

from ddecli.core.files import atomic_file
from ddecli.core.protocol import BESIDE
from ddecli.sampling.sheet import MAX_PROMPTS, Row, draw_sheet
from ddecli.scoring.sources import ImageSet
from ddecli.stats.changes import Changes


def first_prompts(images: ImageSet, other: ImageSet, folder: Path) -> Path:
    """Draw the images of the first prompts beside the other folder's, into `folder`; returns the file."""
    groups = [
        {key: list(group) for key, group in groupby(each.images, key=lambda image: image.prompt_id)}
        for each in (other, images)
    ]
    rows = [
        Row(group[0].prompt, ([image.path for image in group], [image.path for image in groups[1][key]]))
        for key, group in groups[0].items()
        if key in groups[1]
    ]
    return _save(draw_sheet(rows, (other.name, images.name), columns=4), folder, other, "")


def most_changed(images: ImageSet, other: ImageSet, changes: Changes, folder: Path) -> Path:
    """Draw the images that changed most, up or down, beside the other folder's, into `folder`; returns the file."""
    pairs = [
        {(image.prompt_id, image.image_index): image for image in each.images} for each in (other, images)
    ]
    rows = []
    for change in changes.images[:MAX_PROMPTS]:
        before, after = (each[change.prompt_id, change.image_index] for each in pairs)
        rows.append(Row(f"{before.prompt} ({change.size:+.1f})", ([before.path], [after.path])))
    titles, half = (other.name, images.name), -(-len(rows) // 2)
    halves = [draw_sheet(part, titles) for part in (rows[:half], rows[half:]) if part]
    sheet = Image.new(
        "RGB", (sum(each.width for each in halves), max(each.height for each in halves)), "white"
    )
    for number, each in enumerate(halves):
        sheet.paste(each, (number * halves[0].width, 0))
    return _save(sheet, folder, other, "-most-changed")


def _save(sheet: Image.Image, folder: Path, other: ImageSet, suffix: str) -> Path:
    path = folder / f"{BESIDE}{Path(other.name).name}{suffix}.png"
    with atomic_file(path) as temporary:
        sheet.save(temporary, "PNG")
    return path
