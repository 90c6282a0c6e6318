"""What images show of their prompts: a table of its own, and no score among the scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import experiments
import numpy as np
import pytest

from ddecli.document.markdown import to_markdown
from ddecli.reproduction.article.article import article
from ddecli.reproduction.article.findings import find
from ddecli.reproduction.experiment import read_experiment
from ddecli.tinyworld.measured import read_references

SHARES = {"base": 0.4, "uniform": 0.5, "dde": 0.7, "0-0.1": 0.4}
SCORES = experiments.scores


def with_attributes(row: str, training: int, shift: float) -> dict[str, np.ndarray]:
    """Of 30 prompts with 2 images this share is right in everything, and a little more in shape."""
    right = np.zeros((30, 2))
    right.reshape(-1)[: round(60 * SHARES[row])] = 1
    shape = right.copy()
    shape.reshape(-1)[: round(60 * SHARES[row]) + 6] = 1
    return SCORES(row, training, shift) | {"attributes": right, "attributes.shape": shape}


def test_the_article_has_a_table_of_attributes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(experiments, "scores", with_attributes)
    findings = find(read_experiment(experiments.write_experiment(tmp_path)), lambda _: np.ones(1000))
    text = to_markdown(article(findings))
    table = text[text.index("What images show of their prompts, tiny") - 1500 :]
    chance, ceiling = (read_references()[name] for name in ("chance", "right"))
    rows: dict[str, Any] = {
        "chance": (chance["shape"], chance["all"]),
        "Base": (0.5, 0.4),
        "Uni": (0.6, 0.5),
        "DDE": (0.8, 0.7),
        "what can be read": (ceiling["shape"], ceiling["all"]),
    }
    for label, shares in rows.items():
        assert f"| {label} | {shares[0]:.2f} | {shares[1]:.2f} |" in table, label
    effects = {each.row: each for each in findings.effects["tiny"]}
    assert effects["dde"].scorers == ["clip", "hps", "pickscore"]
    assert effects["dde"].changes["attributes"].mean == pytest.approx(0.7)


def test_tables_and_figures_leave_parts_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(experiments, "scores", with_attributes)
    findings = find(read_experiment(experiments.write_experiment(tmp_path)), lambda _: np.ones(1000))
    table = findings.side_by_side["tiny"]
    assert table.metrics == ["clip", "hps", "pickscore", "truth", "attributes", "diversity"]
    assert all(row.cells.keys() == set(table.metrics) for row in table.rows)
    assert to_markdown(article(findings)).count("attributes.shape") == 0
