"""GenEval (djghosh13/geneval, evaluation/evaluate_images.py).

    OUT/00000/metadata.jsonl        the row of evaluation_metadata.jsonl, one JSON object
    OUT/00000/samples/00000.png ...
    OUT/00000/grid.png              for the eye; the tool does not read it

The tool takes every folder of digits in OUT, its metadata, and every NUMBER.png in its `samples`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from ddecli.core.text import to_json
from ddecli.export.entries import Entry, Written, copy_png, grid


def write_geneval(entries: Sequence[Entry], folder: Path, place: Path) -> Written:
    """Write the layout into a folder, which will lie at `place`."""
    for entry in entries:
        here = folder / f"{entry.number:05d}"
        (here / "samples").mkdir(parents=True)
        (here / "metadata.jsonl").write_text(to_json(entry.row.about) + "\n", encoding="utf-8")
        for number, image in enumerate(entry.images):
            copy_png(image, here / "samples" / f"{number:05d}.png")
        grid(entry.images, math.isqrt(len(entry.images) - 1) + 1).save(here / "grid.png")
    return Written(
        sum(len(entry.images) for entry in entries),
        f"python evaluation/evaluate_images.py {place} --outfile results.jsonl",
    )
