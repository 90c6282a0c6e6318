"""GenEval 2 (facebookresearch/GenEval2, evaluation.py).

OUT/image_paths.json            an object: prompt to the path of its one image
OUT/images/00000.png ...
OUT/geneval2_data.jsonl         the rows that have an image: the tool ends where one of its data has none
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ddecli.core.text import to_json
from ddecli.export.entries import Entry, Written, copy_png


def write_geneval2(entries: Sequence[Entry], folder: Path, place: Path) -> Written:
    """Write the layout into a folder, which will lie at `place`. Of several images of a prompt the first is taken."""
    (folder / "images").mkdir()
    paths = {}
    for entry in entries:
        name = f"images/{entry.number:05d}.png"
        copy_png(entry.images[0], folder / name)
        paths[entry.row.about["prompt"]] = str(place.absolute() / name)
    (folder / "image_paths.json").write_text(to_json(paths, indent=1), encoding="utf-8")
    rows = "".join(to_json(entry.row.about) + "\n" for entry in entries)
    (folder / "geneval2_data.jsonl").write_text(rows, encoding="utf-8")
    several = max(len(entry.images) for entry in entries)
    first = f", with the first of {several} images a prompt" if several > 1 else ""
    return Written(
        len(entries),
        f"python evaluation.py --benchmark_data {place / 'geneval2_data.jsonl'} --image_filepath_data "
        f"{place / 'image_paths.json'} --method soft_tifa_gm --output_file score_lists.json{first}",
    )
