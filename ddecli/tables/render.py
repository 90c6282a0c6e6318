"""A table as Markdown, CSV, LaTeX (booktabs), and for the terminal.

Markdown, LaTeX and the terminal show blocks: the scores; the gains over the base, with the paper's figures beside them;
and of a table of one's own the differences of every two rows, and all rows by kinds of prompts. Bold is what is told
from zero, as its notes say. CSV has a row a (method, metric), then one for every other row that a method is held
against, and one for every kind of prompts.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ddecli.core.text import markdown, one_line
from ddecli.stats.intervals import Interval
from ddecli.stats.metrics import NAMES
from ddecli.tables import paper
from ddecli.tables.cells import Cell, Contrast, Difference, Table, TableRow

DIGITS = 4
"""Significant digits of the largest score in a column."""
NOTHING, MINUS = "–", "−"
CSV_COLUMNS = (
    "table",
    "label",
    "base",
    "seeds",
    "metric",
    "mean",
    "spread",
    "standard_error",
    "difference",
    "difference_low",
    "difference_high",
    "gain_percent",
    "gain_low",
    "gain_high",
    "below",
    "shown",
    "paper",
    "best",
    "notes",
    "division",
    "kind",
    "prompts",
)
LATEX_ESCAPES = {
    "\\": r"\textbackslash{}",
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "[": "{[}",  # after a line break it would begin an argument
    "±": r"$\pm$",
    NOTHING: "--",
    MINUS: "$-$",
}


@dataclass(frozen=True)
class Block:
    """A grid of texts; `bold` holds the (row, column) places that are set so."""

    title: str
    header: list[str]
    rows: list[list[str]]
    bold: frozenset[tuple[int, int]] = frozenset()


def blocks(table: Table) -> list[Block]:
    """The blocks that a person reads: scores, gains (if there is more than a base), differences and kinds (if any)."""
    best = {
        (number, column + 1)
        for number, row in enumerate(table.rows)
        for column, metric in enumerate(table.metrics)
        if row.cells[metric].best and row.cells[metric].shown
    }
    decimals = {metric: _decimals([row.cells[metric] for row in table.rows]) for metric in table.metrics}
    scores = Block(
        "Mean scores" if table.number is None else f"Table {table.number}: mean scores",
        ["Method", *(_name(metric) for metric in table.metrics)],
        [[row.label, *(_score(row.cells[m], decimals[m]) for m in table.metrics)] for row in table.rows],
        frozenset(best),
    )
    gained = [row for row in table.rows if row.base is not None]
    found = [scores, _gain_block(table, gained, decimals)] if gained else [scores]
    if table.differences:
        found.append(difference_block(table.differences, decimals))
    for division in dict.fromkeys(kind.division for kind in table.kinds):
        found += _kind_blocks(table, division, decimals)
    return found


def _kind_blocks(table: Table, division: str, places: Mapping[str, int]) -> list[Block]:
    """Means over each kind of prompts, and differences to the base, a line a kind and row."""
    header = [division, "Prompts", "Method", *(_name(metric) for metric in table.metrics)]
    means, gains = [], []
    for kind in (kind for kind in table.kinds if kind.division == division):
        for row in kind.rows:
            cells = [row.cells.get(metric) for metric in table.metrics]
            digits = list(places.values())
            begin = [kind.name, str(kind.prompts), row.label]
            means.append([*begin, *map(_mean_of_kind, cells, digits)])
            if row.base is not None:
                gains.append([*begin, *map(_difference_of_kind, cells, digits)])
    base = table.rows[0].label
    found = [Block(f"Mean scores by {division}, with 95 % intervals", header, means)]
    title = f"Differences to {base} by {division}, with 95 % intervals"
    return [*found, Block(title, header, gains)] if gains else found


def _mean_of_kind(cell: Cell | None, places: int) -> str:
    if cell is None:
        return NOTHING
    return _with_interval(cell.mean, cell.interval, places).removeprefix("+")


def _difference_of_kind(cell: Cell | None, places: int) -> str:
    if cell is None or cell.difference is None:
        return NOTHING
    return _with_interval(cell.difference, cell.difference_interval, places)


def difference_block(differences: Sequence[Difference], places: Mapping[str, int]) -> Block:
    """A line for every two rows, bold what is told from zero; `places` of the scores by metric, in order."""
    return Block(
        "Differences of every two rows, with 95 % intervals",
        ["Difference", *(_name(metric) for metric in places)],
        [
            [
                f"{each.first} {MINUS} {each.second}",
                *(_contrast(each.estimates[metric], digits) for metric, digits in places.items()),
            ]
            for each in differences
        ],
        frozenset(
            (number, column + 1)
            for number, each in enumerate(differences)
            for column, metric in enumerate(places)
            if each.estimates[metric].shown
        ),
    )


def to_markdown(table: Table) -> str:
    """GitHub Markdown: a heading and a pipe table a block, then the notes as a list."""
    parts = []
    for block in blocks(table):
        lines = ["| " + " | ".join(map(markdown, block.header)) + " |"]
        lines.append("| :-- |" + " --: |" * (len(block.header) - 1))
        for number, row in enumerate(block.rows):
            texts = [
                f"**{markdown(t)}**" if (number, c) in block.bold else markdown(t) for c, t in enumerate(row)
            ]
            lines.append("| " + " | ".join(texts) + " |")
        parts.append(f"### {markdown(block.title)}\n\n" + "\n".join(lines))
    parts.append("\n".join(f"- {markdown(note)}" for note in table.notes))
    return "\n\n".join(parts) + "\n"


def to_csv(table: Table) -> str:
    """One row a (method, metric) in full precision, empty where there is nothing; the notes in a column."""
    text = io.StringIO()
    writer = csv.DictWriter(text, CSV_COLUMNS, lineterminator="\n")
    writer.writeheader()

    def write(values: Mapping[str, object]) -> None:
        writer.writerow(
            {key: one_line(value) if isinstance(value, str) else value for key, value in values.items()}
        )

    for row in table.rows:
        for metric, cell in row.cells.items():
            write(_csv_cell(table, row, metric, cell))
    for each in table.differences:
        if each.second != table.rows[0].label:  # what is held against the base stands above
            for values in _csv_differences(table, each):
                write(values)
    for kind in table.kinds:
        of_kind = {"division": kind.division, "kind": kind.name, "prompts": kind.prompts}
        for row in kind.rows:
            for metric, cell in row.cells.items():
                write(_csv_cell(table, row, metric, cell) | of_kind)
    return text.getvalue()


def _csv_cell(table: Table, row: TableRow, metric: str, cell: Cell) -> dict[str, object]:
    """A method in one metric."""
    low, high = cell.difference_interval or (None, None)
    gain_low, gain_high = cell.gain_interval or (None, None)
    return {
        "table": table.number,
        "label": row.label,
        "base": row.base,
        "seeds": row.seeds,
        "metric": metric,
        "mean": cell.mean,
        "spread": cell.spread,
        "standard_error": cell.standard_error,
        "difference": cell.difference,
        "difference_low": low,
        "difference_high": high,
        "gain_percent": cell.gain_percent,
        "gain_low": gain_low,
        "gain_high": gain_high,
        "below": cell.below,
        "shown": int(cell.shown),
        "paper": cell.paper,
        "best": int(cell.best),
        "notes": " ".join(table.notes),
    }


def _csv_differences(table: Table, each: Difference) -> list[dict[str, object]]:
    """A method held against another row than its base."""
    row = next(row for row in table.rows if row.label == each.first)
    return [
        {
            "table": table.number,
            "label": each.first,
            "base": each.second,
            "seeds": row.seeds,
            "metric": metric,
            "mean": row.cells[metric].mean,
            "spread": contrast.spread,
            "difference": contrast.value,
            "difference_low": contrast.interval and contrast.interval.low,
            "difference_high": contrast.interval and contrast.interval.high,
            "below": contrast.below,
            "shown": int(contrast.shown),
        }
        for metric, contrast in each.estimates.items()
    ]


def to_latex(table: Table) -> str:
    """A `table` environment for the booktabs package: a tabular a block, then the notes in small print."""
    lines = ["% \\usepackage{booktabs}", "\\begin{table}", "\\centering", "\\small"]
    for block in blocks(table):
        lines += [
            f"{_latex(block.title)}\\\\[2pt]",
            f"\\begin{{tabular}}{{l{'r' * (len(block.header) - 1)}}}",
        ]
        lines += ["\\toprule", " & ".join(map(_latex, block.header)) + r" \\", "\\midrule"]
        for number, row in enumerate(block.rows):
            texts = [
                f"\\textbf{{{_latex(t)}}}" if (number, c) in block.bold else _latex(t)
                for c, t in enumerate(row)
            ]
            lines.append(" & ".join(texts) + r" \\")
        lines += ["\\bottomrule", "\\end{tabular}", "", "\\medskip"]
    lines += [
        "\\begin{minipage}{\\linewidth}\\footnotesize",
        *(f"{_latex(note)}\\par" for note in table.notes),
    ]
    return "\n".join([*lines, "\\end{minipage}", "\\end{table}", ""])


def _gain_block(table: Table, rows: Sequence[TableRow], decimals: dict[str, int]) -> Block:
    header = ["Method"]
    lines = [[row.label] for row in rows]
    bold = set()
    for metric in table.metrics:
        absolute = all(row.cells[metric].gain_percent is None for row in rows)
        header.append(f"{_name(metric)} ({'difference' if absolute else '%'})")
        for number, (line, row) in enumerate(zip(lines, rows, strict=True)):
            cell = row.cells[metric]
            if cell.shown:
                bold.add((number, len(line)))
            line.append(_gain(cell, absolute, decimals[metric]) + _below(cell.below, row.seeds))
        if table.number is not None and metric in paper.metrics(table.number):
            header.append("paper")
            for line, row in zip(lines, rows, strict=True):
                line.append(row.cells[metric].paper)
    bases = list(dict.fromkeys(str(row.base) for row in rows))
    return Block(f"Gains over {' and '.join(bases)}, with 95 % intervals", header, lines, frozenset(bold))


def _below(below: int | None, trainings: int | None) -> str:
    """How many trainings lie below the base, where any does."""
    return f", {below} of {trainings} below" if below else ""


def _score(cell: Cell, decimals: int) -> str:
    return f"{cell.mean:.{decimals}f}" + ("" if cell.spread is None else f" ± {cell.spread:.{decimals}f}")


def _contrast(found: Contrast, places: int) -> str:
    """As precisely as it is known, up to some digits more than the scores have."""
    digits = min(places + 3, decimals(found.value, found.interval))
    return _with_interval(found.value, found.interval, digits, found.spread) + _below(
        found.below, found.pairs
    )


def _gain(cell: Cell, absolute: bool, decimals: int) -> str:
    value, interval = cell.gain_percent, cell.gain_interval
    if absolute:
        value, interval = cell.difference, cell.difference_interval
    return NOTHING if value is None else _with_interval(value, interval, decimals if absolute else 1)


def _with_interval(
    value: float, interval: Interval | None, decimals: int, spread: float | None = None
) -> str:
    text = f"{value:+.{decimals}f}" + ("" if spread is None else f" ± {spread:.{decimals}f}")
    return text if interval is None else f"{text} [{interval.low:.{decimals}f}, {interval.high:.{decimals}f}]"


def decimals(value: float, interval: Interval | None) -> int:
    """So many that the interval's half width has two significant digits; without interval the value three."""
    half = (interval.high - interval.low) / 2 if interval else 0.0
    size, digits = (half, 2) if half > 0 else (abs(value), 3)
    return min(8, max(0, digits - 1 - math.floor(math.log10(size)))) if 0 < size < math.inf else 3


def _decimals(cells: Sequence[Cell]) -> int:
    largest = max(abs(cell.mean) for cell in cells)
    return min(6, max(0, DIGITS - 1 - math.floor(math.log10(largest)))) if largest else DIGITS


def _name(metric: str) -> str:
    return NAMES.get(metric, metric)


def _latex(text: str) -> str:
    return "".join(LATEX_ESCAPES.get(letter, letter) for letter in one_line(text))
