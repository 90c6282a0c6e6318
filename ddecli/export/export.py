"""`ddecli export`: a sample folder laid out as a benchmark's own tool reads it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ddecli.core.errors import UserError
from ddecli.core.files import atomic_folder
from ddecli.core.paths import FOLDER, replaceable
from ddecli.core.prompt_rows import load_prompt_rows
from ddecli.core.prompts import PromptRow
from ddecli.export.compbench import write_compbench
from ddecli.export.dpg import write_dpg
from ddecli.export.entries import Entry, Written, entries_of
from ddecli.export.geneval import write_geneval
from ddecli.export.geneval2 import write_geneval2
from ddecli.sampling.benchmarks import FILES, TITLES, fits
from ddecli.scoring.sources import read_source

LAYOUTS: dict[str, Callable[[Sequence[Entry], Path, Path], Written]] = {
    "geneval": write_geneval,
    "geneval2": write_geneval2,
    "dpg": write_dpg,
    "t2i-compbench": write_compbench,
}


@dataclass(frozen=True)
class ExportSummary:
    """What was written: `prompts` of the benchmark's `listed` ones have images; `about` is how its tool is called."""

    out: str
    layout: str
    prompts: int
    listed: int
    images: int
    about: str

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def export_images(
    folder: Path, layout: str, out: Path, rows: Sequence[PromptRow] | None = None
) -> ExportSummary:
    """Lay images out as a benchmark's tool reads them; `out` is written whole, or not at all.

    Args:
        folder: a sample, or anybody's images with their prompts.
        layout: one of `LAYOUTS`.
        rows: of the benchmark's own list; None takes those that the sample was made from.

    Raises:
        UserError: something lies at `out`, the prompts are none of this benchmark, an image cannot be used, or the
            layout cannot hold one.
    """
    place = replaceable(out, FOLDER)
    if place.exists() and any(place.iterdir()):
        raise UserError(f"{out} is not empty: choose another --out, or remove it first.")
    source = read_source([folder])
    known = list(rows) if rows is not None else load_prompt_rows(folder)
    if not known or not all(fits(row, layout) for row in known):
        raise UserError(
            f"{folder} does not say what {TITLES[layout]} has of its prompts: give --prompts {layout}=PATH, which is "
            f"{FILES[layout]}."
        )
    entries = entries_of(source, known)
    with atomic_folder(out) as temporary:
        written = LAYOUTS[layout](entries, temporary, out)
    return ExportSummary(str(out), layout, len(entries), len(known), written.images, written.about)
