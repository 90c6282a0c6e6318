"""Text files with a row a pair and the names of its pictures: jsonl, CSV, or a JSON list.

With `metadata.jsonl` or `metadata.csv` beside the pictures this is the imagefolder layout; a JSON list is
what HPDv2 and HPDv3 have.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path

from ddecli.core.errors import BadRow, UserError
from ddecli.core.files import sha256_file
from ddecli.core.text_tables import Mark, read_rows
from ddecli.data.columns import Columns, resolve_columns
from ddecli.data.groups import gathered
from ddecli.data.pairs import Pair, Rejects
from ddecli.data.sources.base import PART_ROWS, Part, Source, Wanted


def rows_source(file: Path, wanted: Wanted, pictures: Path | None = None, layout: str = "") -> Source:
    """The pairs a text file lists.

    The file is read once before any work is done, to find its columns (keys of any of its rows) and count its
    rows; then in parts of `PART_ROWS` rows, each from its own place on (as one part where every picture has a row).

    Args:
        pictures: folder of the pictures; beside the file if not given.
        layout: what is recognised; the file's kind if not given.

    Raises:
        UserError: the file cannot be read, lists nothing, or lacks a needed column.
    """
    names: dict[str, None] = {}
    marks = [Mark()]
    count = 0
    first_bad: BadRow | None = None
    for _, row, behind in read_rows(file, Mark()):
        count += 1
        if isinstance(row, BadRow):
            first_bad = first_bad or row
        else:
            names.update(dict.fromkeys(row))
        if count % PART_ROWS == 0:
            marks.append(behind)
    if not names:
        raise UserError(
            f"{file} lists no pairs"
            + (f": no row can be read, the first is a {first_bad}." if first_bad else ".")
        )
    columns = resolve_columns(list(names), wanted.mapping, str(file), wanted.labelled, wanted.winners_only)
    folder = pictures or file.parent
    digest, size = sha256_file(file)[:12], file.stat().st_size
    parts = []
    together = count if columns.grouped else PART_ROWS  # a group is not cut
    for number, mark in enumerate(marks[:1] if columns.grouped else marks):
        rows = min(together, count - number * together)
        if rows:
            name = f"{file.name} ({digest}) from row {number * together}"
            parts.append(Part(name, partial(_pairs, file, mark, rows, columns, folder), rows, size))
    return Source(str(file.parent.resolve()), f"{layout or file.name}: {columns.layout}", parts)


def _pairs(
    file: Path, mark: Mark, rows: int, columns: Columns, folder: Path, rejects: Rejects
) -> Iterator[Pair]:
    named = ((f"{file.name}:{number}", row) for number, row, _ in islice(read_rows(file, mark), rows))
    for row_id, row in gathered(named, columns):
        try:
            if isinstance(row, BadRow):
                raise row
            yield from columns.pairs(row, row_id, str(file.parent), folder)
        except BadRow as error:
            rejects.add(row_id, error)
