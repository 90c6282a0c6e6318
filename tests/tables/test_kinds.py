"""All rows of a table over the prompts of each kind."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
from scipy.stats import t
from score_sets import score_set

from ddecli.stats.groups import Kind
from ddecli.tables.build import score_table
from ddecli.tables.render import blocks, to_csv, to_latex, to_markdown

IDS = [f"{number:012x}" for number in range(9)]
KINDS = [
    Kind("style", "photo", frozenset(IDS[:4])),
    Kind("style", "anime", frozenset(IDS[4:])),
    Kind("style", "not sampled", frozenset({"ffff"})),
    Kind("challenge", "Basic | one", frozenset(IDS[:1])),
    Kind("challenge", "Style", frozenset(IDS[1:])),
]


def values(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.2, 0.4, size=(9, 2))


def table(number: int | None = None):
    sets = {
        "Base": [score_set("base", {"clip": values(0)})],
        "DDE": [score_set("dde", {"clip": values(1), "hps": values(3)})],
    }
    return score_table(number, sets, KINDS)


def half_width(numbers: np.ndarray) -> float:
    """Student's, from the textbook."""
    return t.ppf(0.975, len(numbers) - 1) * numbers.std(ddof=1) / np.sqrt(len(numbers))


def test_means_and_differences_of_each_kind_have_students_intervals() -> None:
    found = {(each.division, each.name): each for each in table().kinds}
    assert list(found) == [
        ("style", "photo"), ("style", "anime"), ("challenge", "Basic | one"), ("challenge", "Style"),
    ]  # fmt: skip
    own = found["style", "anime"]
    assert own.prompts == 5 and [row.label for row in own.rows] == ["Base", "DDE"]
    base, dde = (values(seed)[4:].mean(axis=1) for seed in (0, 1))
    cell = own.rows[1].cells["clip"]
    assert cell.mean == pytest.approx(dde.mean()) and cell.difference == pytest.approx((dde - base).mean())
    for interval, numbers in ((cell.interval, dde), (cell.difference_interval, dde - base)):
        assert interval is not None
        assert interval.low == pytest.approx(numbers.mean() - half_width(numbers))
        assert interval.high == pytest.approx(numbers.mean() + half_width(numbers))
    alone = found["challenge", "Basic | one"].rows[0].cells["clip"]
    assert alone.interval is None and alone.mean == pytest.approx(values(0)[0].mean())


def test_the_whole_table_is_as_without_kinds() -> None:
    with_kinds, without = table(), score_table(None, {row: sets for row, sets in {
        "Base": [score_set("base", {"clip": values(0)})],
        "DDE": [score_set("dde", {"clip": values(1), "hps": values(3)})],
    }.items()})  # fmt: skip
    assert (with_kinds.rows, with_kinds.differences) == (without.rows, without.differences)
    assert without.kinds == [] and with_kinds.notes[:-1] == without.notes
    assert "Kinds of prompts" in with_kinds.notes[-1]


def test_every_format_shows_them() -> None:
    made = table()
    titles = [block.title for block in blocks(made)]
    assert titles[-4:] == [
        "Mean scores by style, with 95 % intervals",
        "Differences to Base by style, with 95 % intervals",
        "Mean scores by challenge, with 95 % intervals",
        "Differences to Base by challenge, with 95 % intervals",
    ]
    mean = values(1)[:4].mean()
    text = to_markdown(made)
    assert f"| photo | 4 | DDE | {mean:.4f} [" in text and "| Basic \\| one | 1 | DDE | " in text
    assert "Basic | one" in to_latex(made)
    rows = [row for row in csv.DictReader(io.StringIO(to_csv(made))) if row["kind"]]
    assert len(rows) == 8 and rows[1]["division"] == "style" and rows[1]["prompts"] == "4"
    assert float(rows[1]["mean"]) == pytest.approx(mean)
