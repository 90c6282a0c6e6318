"""`ddecli figure` as a person types it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from run_folders import write_run
from score_sets import score_set, write

from ddecli.cli.figure import app
from ddecli.figures.catalogue import FIGURES


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("figure")
    values = np.random.default_rng(0).uniform(0.2, 0.4, size=(10, 2))
    for shift, name in enumerate(("base", "full", "part", "dde")):
        write(score_set(name, {"clip": values + shift}, name), root / name)
    ones = np.ones((4, 50))
    write_run(root / "run", ones, ones, -ones, **dict.fromkeys(("logit", "logit_std"), np.ones(4)))
    (root / "no-credit").mkdir()
    return root


def refused(typed):
    assert typed.code == 2
    assert typed.out == ""
    assert typed.error.startswith("Error: ")
    assert typed.error.count("\n") == 1
    assert "Traceback" not in typed.error
    return typed.error


def test_help_names_every_figure_in_a_line(ddecli):
    text = ddecli("figure", "--help").out
    assert all(f"{name} " in text and summary in text for name, summary in FIGURES.items())
    assert [command.name for command in app.registered_commands] == list(FIGURES)
    assert ddecli("figure").out == text


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("segments", ["BASE=base", "FULL=full", "0-0.1=part", "0.2-0.7=dde"]),
        ("beat-ratios", ["BASE=base", "DDE=dde", "DDE=part"]),
        ("corrections", ["DDE=run"]),
        ("log-sigmoid", ["DDE=run"]),
        ("log-sigmoid", []),
        ("credit", ["DDE=run"]),
        ("credit-steps", ["DDE=run"]),
        ("curves", ["DDE=run"]),
        ("coefficients", []),
    ],
)
def test_three_files(ddecli, folders, tmp_path, name, rows):
    rows = [row.replace("=", f"={folders}/") for row in rows]
    typed = ddecli("figure", name, *rows, "--out", tmp_path / "new" / "drawn.png", "--title", "A title")
    assert (typed.code, typed.out) == (0, "")
    assert typed.error == f"Wrote {tmp_path}/new/drawn.png, .pdf and .json\n"
    assert sorted(file.name for file in (tmp_path / "new").iterdir()) == [
        "drawn.json",
        "drawn.pdf",
        "drawn.png",
    ]
    found = json.loads((tmp_path / "new" / "drawn.json").read_text())
    assert (found["figure"], found["title"]) == (name, "A title")


def test_labels_given_twice_are_seeds(ddecli, folders, tmp_path):
    rows = [f"BASE={folders}/base", f"DDE={folders}/dde", f"DDE={folders}/part"]
    ddecli("figure", "beat-ratios", *rows, "--out", tmp_path / "beat", "--metric", "clip")
    found = json.loads((tmp_path / "beat.json").read_text())
    assert found["metrics"]["clip"]["DDE"]["seed_ratios"] == [1.0, 1.0]
    assert found["metrics"]["clip"]["DDE"]["below"] == 0


@pytest.mark.parametrize("name", ["segments", "beat-ratios"])
def test_the_metrics_that_are_asked_for_or_all(ddecli, tmp_path, name):
    values = np.random.default_rng(0).uniform(0.2, 0.4, size=(10, 2))
    for shift, folder in enumerate(("base", "full", "part")):
        write(score_set(folder, dict.fromkeys(("clip", "hps"), values + shift), folder), tmp_path / folder)
    rows = [
        f"{label}={tmp_path}/{folder}" for label, folder in (("A", "base"), ("B", "full"), ("0-0.1", "part"))
    ]
    for words, shown in (((), {"clip", "hps"}), (("--metric", "hps"), {"hps"})):
        assert ddecli("figure", name, *rows, "--out", tmp_path / "x", *words).code == 0
        assert json.loads((tmp_path / "x.json").read_text())["metrics"].keys() == shown


def test_unknown_figures_and_missing_rows(ddecli, folders):
    message = refused(ddecli("figure", "segmnets", "--out", "x"))
    assert "There is no figure 'segmnets': choose from segments, beat-ratios" in message
    for name in ("segments", "beat-ratios", "corrections", "credit", "curves", "images"):
        assert "LABEL=FOLDER" in refused(ddecli("figure", name, "--out", "x"))
    assert "--out" in refused(ddecli("figure", "coefficients"))
    assert "write LABEL=FOLDER" in refused(ddecli("figure", "credit", folders / "run", "--out", "x"))


def test_folders_that_cannot_be_drawn(ddecli, folders, tmp_path):
    out = ("--out", tmp_path / "x")
    unscored = refused(ddecli("figure", "beat-ratios", f"A={folders}/base", f"B={folders}/run", *out))
    assert "score the images first" in unscored
    assert "has no credit.npz" in refused(ddecli("figure", "credit", f"A={folders}/no-credit", *out))
    no_norms = refused(ddecli("figure", "credit-steps", f"A={folders}/run", "--by", "norm", *out))
    assert "did not measure norms of gradients" in no_norms
    rows = [f"{label}={folders}/{name}" for label, name in (("A", "base"), ("B", "full"), ("DDE", "dde"))]
    assert "two fractions" in refused(ddecli("figure", "segments", *rows, *out))
    assert "Unknown model" in refused(ddecli("figure", "coefficients", "--model", "none", *out))
    assert not list(tmp_path.iterdir())


def test_a_figure_that_cannot_be_written(ddecli, tmp_path):
    (tmp_path / "file").touch()
    assert "Cannot write" in refused(ddecli("figure", "log-sigmoid", "--out", tmp_path / "file" / "x"))
