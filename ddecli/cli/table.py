"""`ddecli table`: tables from scored folders, the paper's or one's own."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ddecli.cli.rows import parse_rows


def table(
    rows: Annotated[
        list[str],
        typer.Argument(
            metavar="[NUMBER] LABEL=FOLDER...",
            help="Rows and their scored images (table 4: folders with inception.json). The first row is the "
            "base. One label several times: the folders are its training seeds. In table 4 the base of "
            "NAME+METHOD is the row NAME. A number before them: the paper's table 2 (SD15), 3 (SDXL) or 4 "
            "(Inception Score before and after training).",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="Write OUT.md, OUT.csv and OUT.tex; as in paper/table2. On a terminal the table is shown all the same."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the table as JSON.")] = False,
) -> None:
    """Put scored folders side by side: mean scores, gains over the base, and the difference of every two rows.

    With a number it is a table of the paper: the gains beside the paper's figures, without the differences.

    Examples: `ddecli table A=images/one B=images/other` and
    `ddecli table 2 BASE=images/tiny DDE=images/tiny-dde --out paper/table2`
    """
    from ddecli.core.console import console, echo, show_grid, show_text
    from ddecli.core.errors import UserError
    from ddecli.core.files import write_text
    from ddecli.core.paths import replaceable
    from ddecli.core.sealed import sealed
    from ddecli.core.text import to_json
    from ddecli.tables.build import build_table
    from ddecli.tables.render import blocks, to_csv, to_latex, to_markdown

    number = _number(rows[0])
    folders = parse_rows(rows if number is None else rows[1:])
    if not folders:
        raise UserError("The table needs rows: write LABEL=FOLDER, as in DDE=images/tiny-dde.")
    built = build_table(number, folders)
    if out is not None:
        stem = out.with_suffix("") if out.suffix in (".md", ".csv", ".tex") else out
        formats = {".md": to_markdown, ".csv": to_csv, ".tex": to_latex}
        files = {
            replaceable(stem.with_name(stem.name + suffix)): render for suffix, render in formats.items()
        }
        for file, render in files.items():
            write_text(file, render(built))
        console.print(f"Wrote {stem}.md, .csv and .tex")
    if as_json:
        echo(to_json(sealed(built.as_dict())))
    elif sys.stdout.isatty():
        for block in blocks(built):
            keys = block.header.index("Method") + 1 if "Method" in block.header else 1
            show_grid(block.title, block.header, block.rows, block.bold, keys)
        for note in built.notes:
            show_text(note)
    elif out is None:
        echo(to_markdown(built), end="")


def _number(word: str) -> int | None:
    """The number of a table of the paper; None of a row, which `parse_rows` looks at."""
    try:
        return int(word)
    except ValueError:
        return None
