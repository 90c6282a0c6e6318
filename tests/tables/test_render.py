"""Renderers: what they write can be read back, and no label breaks them."""

from __future__ import annotations

import csv
import io
import re

import pytest

from ddecli.stats.intervals import Interval
from ddecli.tables.cells import Cell, Table, TableRow
from ddecli.tables.render import blocks, to_csv, to_latex, to_markdown


@pytest.fixture
def table():
    gained = (0.02, Interval(0.01, 0.03), 6.06, Interval(5, 7.25))
    better = Cell(0.35, 0.001, 0.002, *gained, "+6.7 %", best=True, below=1, shown=True)
    truth = Cell(0.5, None, 0.1, 1.5, Interval(1.25, 1.75), best=True)
    return Table(
        2,
        ["clip", "truth"],
        [
            TableRow("A & B_100%", None, 1, {"clip": Cell(0.33), "truth": Cell(-1.0)}),
            TableRow("[DDE] | #1 *x* {$^~\\", "A & B_100%", 3, {"clip": better, "truth": truth}),
        ],
        ["Protocol: prompt_set a_b, 100 %.", "± over <seeds>, with | and, commas"],
    )


def test_csv_is_read_back_whole(table):
    rows = list(csv.DictReader(io.StringIO(to_csv(table))))
    assert [(row["label"], row["metric"]) for row in rows] == [
        (row.label, metric) for row in table.rows for metric in table.metrics
    ]
    assert float(rows[2]["gain_high"]) == 7.25
    assert float(rows[2]["standard_error"]) == 0.002
    assert rows[3]["gain_percent"] == ""
    assert [row["best"] for row in rows] == ["0", "0", "1", "1"]
    assert [(row["below"], row["shown"]) for row in rows[2:]] == [("1", "1"), ("", "0")]
    assert rows[0]["notes"] == " ".join(table.notes)
    assert None not in rows[0]  # no row is longer than the header


def test_markdown_has_equal_columns_and_bold_what_is_shown(table):
    text = to_markdown(table)
    grids = [part.splitlines() for part in text.split("\n\n") if part.startswith("|")]
    for grid in grids:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in grid}) == 1
    assert "| **0.3500 ± 0.0010** | 0.500 |" in text  # the best truth is not told from the base's
    assert "| **+6.1 [5.0, 7.2], 1 of 3 below** | +6.7 % | +1.500 [1.250, 1.750] |" in text
    assert "| Method | CLIP (%) | paper | Truth (difference) |" in text
    assert "- ± over \\<seeds>, with \\| and, commas" in text


def test_latex_escapes_and_closes_everything(table):
    text = to_latex(table)
    assert r"A \& B\_100\%" in text
    assert r"{[}DDE] | \#1 *x* \{\$\textasciicircum{}\textasciitilde{}\textbackslash{}" in text
    assert r"\textbf{0.3500 $\pm$ 0.0010}" in text
    for name in set(re.findall(r"\\begin{(\w+)}", text)):
        assert text.count(f"\\begin{{{name}}}") == text.count(f"\\end{{{name}}}")
    bare = text.replace("\\\\", "").replace("\\{", "").replace("\\}", "")
    assert bare.count("{") == bare.count("}")
    for columns, body in re.findall(r"\\begin{tabular}{(l\w+)}(.*?)\\end{tabular}", text, re.DOTALL):
        lines = [line for line in body.splitlines() if line.endswith(r"\\")]
        assert {len(re.findall(r"(?<!\\)&", line)) for line in lines} == {len(columns) - 1}
    assert not re.search(r"(?<!\\)[%#_](?! \\usepackage)", text)
    assert text.isascii()


def test_a_base_alone_has_no_gains(table):
    assert len(blocks(table)) == 2
    alone = Table(2, table.metrics, table.rows[:1], [])
    assert len(blocks(alone)) == 1
    assert "Gains" not in to_markdown(alone) + to_latex(alone)


def test_digits_follow_the_size_of_the_column():
    rows = [TableRow("a", None, 1, {"pickscore": Cell(21.53456), "clip": Cell(0.0), "n": Cell(12345.6)})]
    (scores,) = blocks(Table(2, ["pickscore", "clip", "n"], rows, []))
    assert scores.rows == [["a", "21.53", "0.0000", "12346"]]
