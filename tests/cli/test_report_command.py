"""`ddecli report` as a person types it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from experiments import write_experiment


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    return write_experiment(tmp_path_factory.mktemp("experiment"))


def test_the_whole_report(ddecli, experiment):
    pytest.importorskip("typst")
    out = experiment.parent / "paper"
    result = ddecli("report", experiment, "--out", out)
    assert result.code == 0, result.error
    assert "reproduced" in result.out
    counts = json.loads((out / "claims.json").read_text())["counts"]
    assert result.out.strip() == ", ".join(f"{number} {verdict}" for verdict, number in counts.items())
    for name, begin in {"md": "# DDE", "html": "<!DOCTYPE html>", "pdf": "%PDF"}.items():
        assert (out / f"reproduction.{name}").read_bytes().startswith(begin.encode())
    claims = json.loads((out / "claims.json").read_text())
    assert claims["counts"]["reproduced"] + claims["counts"]["not reproduced"] > 0
    first = claims["claims"][0]
    assert (first["id"], first["verdict"]) == ("dde-improves-sd15", "reproduced")
    assert len(first["comparisons"][0]["interval"]) == 2
    assert claims["confidence"] == 0.95
    # The model named in the runs is the built-in one, so its real schedule is looked at.
    rise = next(each for each in claims["claims"] if each["id"] == "coefficients-rise")
    assert rise["verdict"] == "reproduced"


def test_the_same_bytes_twice_and_json_for_programs(ddecli, experiment):
    out = experiment.parent / "paper"
    ddecli("report", experiment, "--out", out)
    before = {file.name: file.read_bytes() for file in out.iterdir() if file.is_file()}
    answer = json.loads(ddecli("report", experiment, "--out", out, "--json").out)
    assert {file.name: file.read_bytes() for file in out.iterdir() if file.is_file()} == before
    assert answer == json.loads((out / "claims.json").read_text())


def test_without_typst_there_is_no_pdf_and_none_is_left(ddecli, experiment, monkeypatch):
    monkeypatch.setattr("ddecli.reproduction.article.write.typst_is_there", lambda: False)
    out = experiment.parent / "paper"
    (out / "reproduction.pdf").write_text("of another day")
    result = ddecli("report", experiment, "--out", out)
    assert result.code == 0
    assert "No PDF was made: `pip install 'ddecli[report]'`" in result.error
    assert not (out / "reproduction.pdf").exists()


def test_refusals_are_one_sentence(ddecli, tmp_path):
    model = "models: {tiny: {paper: SD15, scores: {base: images}}}"
    (tmp_path / "key.yaml").write_text(f"name: x\ntitle: y\n{model}\nwhat: 1\n")
    (tmp_path / "bare.yaml").write_text("name: x\ntitle: y\nmodels: {}\n")
    for file, message in (
        ("key.yaml", "key.yaml: what is no known key"),
        ("bare.yaml", "bare.yaml: models: Dictionary should have at least 1 item"),
        ("none.yaml", "none.yaml does not exist."),
        (".", "is a folder, not a file"),
    ):
        result = ddecli("report", tmp_path / file, "--out", tmp_path)
        assert result.code == 2
        assert message in result.error
        assert result.error.count("\n") == 1


def test_importing_the_command_is_light():
    heavy = "{'torch', 'numpy', 'pyarrow', 'pydantic', 'matplotlib', 'typst'}"
    code = f"import sys, ddecli.cli.report; print({heavy} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"
