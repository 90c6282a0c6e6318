"""T2I-CompBench++ (Karine-Huang/T2I-CompBench; BLIP_vqa.py, CLIP_similarity.py, the UniDet evaluations).

    OUT/CATEGORY/samples/PROMPT_000000.png ...

The tools take one category at a time. They read the prompt from a file's name, up to the first `_`, and the image's
number from behind the last: the images of a category are numbered through, prompt by prompt.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ddecli.core.errors import UserError
from ddecli.export.entries import Entry, Written, copy_png
from ddecli.sampling.benchmarks import COMPBENCH

LONGEST = 255
"""Bytes of a file's name."""


def write_compbench(entries: Sequence[Entry], folder: Path, place: Path) -> Written:
    """Write the layout into a folder, which will lie at `place`.

    Raises:
        UserError: there is no such category, or a prompt cannot be the name of a file that is read whole.
    """
    numbers: Counter[str] = Counter()
    for entry in entries:
        category, prompt = entry.row.about["category"], entry.row.prompt
        if category not in COMPBENCH:
            raise UserError(f"T2I-CompBench has no category {category!r}: it has {', '.join(COMPBENCH)}.")
        samples = folder / category / "samples"
        samples.mkdir(parents=True, exist_ok=True)
        for image in entry.images:
            name = f"{prompt}_{numbers[category]:06d}.png"
            if any(letter in prompt for letter in "_/\0") or len(name.encode()) > LONGEST:
                raise UserError(
                    f"T2I-CompBench reads prompts from the names of files, and this one cannot be one (a slash, an "
                    f"underscore, or more than {LONGEST} bytes): {prompt[:60]!r}; leave it out of the list."
                )
            copy_png(image, samples / name)
            numbers[category] += 1
    listed = ", ".join(f"{place / category}" for category in numbers)
    return Written(
        sum(numbers.values()), f"one category at a time, as in BLIP_vqa.py --out_dir=FOLDER, of {listed}"
    )
