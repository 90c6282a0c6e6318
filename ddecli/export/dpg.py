"""DPG-Bench (TencentQQGYLab/ELLA, dpg_bench/compute_dpg_bench.py).

    OUT/ITEM_ID.png                 four images in two rows, or one; OUT holds nothing else

The tool cuts `--pic-num` squares of `--resolution` pixels out of each file, row by row, and finds its questions by what
stands before the first dot of the file's name.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ddecli.core.errors import UserError
from ddecli.export.entries import Entry, Written, grid
from ddecli.sampling.benchmarks import ITEM_ID

MOST = 4
"""Images that the tool reads of a file."""


def write_dpg(entries: Sequence[Entry], folder: Path, place: Path) -> Written:
    """Write the layout into a folder, which will lie at `place`. Of more than four images the first four are taken.

    Raises:
        UserError: an image is no square, images differ in size or prompts in their number of images, or an item's id
            is no name that the tool finds.
    """
    several = min(MOST, len(entries[0].images))
    sizes = set()
    for entry in entries:
        item = entry.row.about[ITEM_ID]
        if not item or "." in item or "/" in item or "\0" in item:
            raise UserError(
                f"DPG-Bench's tool finds no questions of the item {item!r}: its id may hold no dot or slash."
            )
        if min(MOST, len(entry.images)) != several:
            raise UserError(
                f"DPG-Bench takes as many images of each prompt, but item {item} has {len(entry.images)}, another "
                f"{several}: sample all with one --images-per-prompt."
            )
        columns = 1 if several == 1 else 2
        page = grid(entry.images[:several], columns)
        sizes.add((page.width // columns, page.height // -(-several // columns)))
        page.save(folder / f"{item}.png")
    (width, height), *others = sizes
    if others or width != height:
        raise UserError(
            f"DPG-Bench cuts squares of one size, and the images have {width}x{height}"
            f"{f' and {others[0][0]}x{others[0][1]}' if others else ''} pixels: sample squares of one size."
        )
    return Written(
        len(entries) * several,
        f"python dpg_bench/compute_dpg_bench.py --image-root-path {place} --resolution {width} --pic-num {several}",
    )
