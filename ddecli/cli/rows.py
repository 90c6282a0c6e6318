"""LABEL=FOLDER arguments: the rows of a table, the methods of a figure."""

from __future__ import annotations

from ddecli.core.errors import UserError


def parse_rows(rows: list[str]) -> dict[str, list[str]]:
    """The folders of each label, in the order given; one label several times: its training seeds.

    Raises:
        UserError: an argument that is not LABEL=FOLDER.
    """
    folders: dict[str, list[str]] = {}
    for row in rows:
        label, equals, folder = (part.strip() for part in row.partition("="))
        if not (label and equals and folder):
            raise UserError(f"{row!r} is no row: write LABEL=FOLDER, as in DDE=images/tiny-dde.")
        folders.setdefault(label, []).append(folder)
    return folders
