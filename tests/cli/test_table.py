"""`ddecli table` as a person types it."""

from __future__ import annotations

import csv
import json
import subprocess
import sys

import numpy as np
import pytest
from score_sets import change_card, score_set, write

from ddecli.cli.app import main

INCEPTION = {
    "mean": 4.0,
    "std": 0.1,
    "splits": 10,
    "images": 100,
    "classifier": {"model": "tiny/classifier"},
    "conventions": {"input": "uint8"},
    "protocol": {"steps": 15},
}


@pytest.fixture
def images(tmp_path):
    values = np.random.default_rng(0).uniform(0.2, 0.4, size=(10, 2))
    for name, shift, protocol in (("base", 0, {}), ("dde", 0.1, {}), ("other", 0.1, {"steps": 50})):
        write(score_set(name, {"clip": values + shift}, name, **protocol), tmp_path / name)
    return tmp_path


@pytest.fixture
def run(monkeypatch, capsys):
    """Type `ddecli table ...`; returns exit code, standard output, standard error."""

    def type_in(*words):
        monkeypatch.setattr(sys, "argv", ["ddecli", "table", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main()
        captured = capsys.readouterr()
        return end.value.code or 0, captured.out, captured.err

    return type_in


def refused(answer):
    code, out, err = answer
    assert code == 2
    assert out == ""
    assert err.startswith("Error: ")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    return err


def test_prints_markdown_to_a_pipe(run, images):
    code, out, _ = run(2, f"BASE={images}/base", f"DDE={images}/dde")
    assert code == 0
    assert out.startswith("### Table 2: mean scores")
    assert "| DDE |" in out
    assert "+6.7 %" in out


def test_a_terminal_shows_a_table_whether_it_is_written_or_not(run, images, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    rows = (f"one={images}/base", f"other={images}/dde")
    code, out, _ = run(*rows)
    assert code == 0 and "one" in out and "─" in out and "| one |" not in out
    assert run(*rows, "--out", images / "x")[:2] == (0, out)
    assert (images / "x.md").is_file()


def test_two_folders_and_no_number(run, images):
    code, out, _ = run(f"one={images}/base", f"other={images}/dde")
    assert code == 0
    assert out.startswith("### Mean scores")
    assert "| other − one | **+0.1000000 [0.1000000, 0.1000000]** |" in out
    assert "+6.7 %" not in out
    code, out, _ = run(f"one={images}/base", f"other={images}/dde", "--json")
    assert json.loads(out)["differences"][0]["first"] == "other"


def test_writes_three_files(run, images):
    out = images / "paper" / "table2"
    code, printed, _ = run(2, f"BASE={images}/base", f"DDE={images}/dde", "--out", out)
    assert (code, printed) == (0, "")
    assert sorted(file.name for file in out.parent.iterdir()) == ["table2.csv", "table2.md", "table2.tex"]
    rows = list(csv.DictReader((images / "paper" / "table2.csv").open(encoding="utf-8")))
    assert [row["label"] for row in rows] == ["BASE", "DDE"]
    before = (images / "paper" / "table2.md").read_bytes()
    run(2, f"BASE={images}/base", f"DDE={images}/dde", "--out", f"{out}.md")
    assert (images / "paper" / "table2.md").read_bytes() == before


def test_json_for_programs(run, images):
    code, out, _ = run(2, f"BASE={images}/base", f"DDE={images}/dde", "--json")
    answer = json.loads(out)
    assert code == 0
    assert answer["rows"][1]["cells"]["clip"]["gain_percent"] > 0
    assert len(answer["rows"][1]["cells"]["clip"]["gain_interval"]) == 2


def test_inception_scores(run, tmp_path):
    for name, mean in (("before", 4.0), ("after", 5.0)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "inception.json").write_text(json.dumps(INCEPTION | {"mean": mean}))
    code, out, _ = run(4, f"SD15={tmp_path}/before", f"SD15+DDE={tmp_path}/after")
    assert code == 0
    assert "| SD15+DDE | **+25.0 [22.3, 27.7]** | not available |" in out  # Welch's interval of a ratio
    (tmp_path / "after" / "inception.json").write_text("{}")
    assert "measure it again" in refused(run(4, f"SD15={tmp_path}/before", f"DDE={tmp_path}/after"))
    assert "ddecli inception" in refused(run(4, f"SD15={tmp_path}"))


def test_mixed_protocols_are_refused(run, images):
    message = refused(run(2, f"BASE={images}/base", f"DDE={images}/other"))
    assert "steps is 15 in the first and 50 in the second" in message


def test_mixed_scorers_are_refused(run, images):
    change_card(images / "dde", lambda about: about["scorers"]["clip"].update(scale=100.0))
    message = refused(run(2, f"BASE={images}/base", f"DDE={images}/dde"))
    assert "the scorer's clip.scale is 1.0 in the first and 100.0 in the second" in message


@pytest.mark.parametrize("number", [1, 5, 0])
def test_other_numbers_are_refused(run, images, number):
    assert f"no table {number}" in refused(run(number, f"BASE={images}/base"))


@pytest.mark.parametrize("row", ["images/tiny", "=images/tiny", "BASE=", "="])
def test_rows_are_label_and_folder(run, row):
    assert "LABEL=FOLDER" in refused(run(2, row))
    assert "LABEL=FOLDER" in refused(run(row))
    assert "LABEL=FOLDER" in refused(run(2))


def test_folders_without_scores_are_refused(run, images):
    assert "ddecli score" in refused(run(2, f"BASE={images}/base", f"DDE={images}/nowhere"))


def test_one_folder_is_not_two_seeds(run, images):
    message = refused(run(2, f"BASE={images}/base", f"DDE={images}/dde", f"DDE={images}/dde"))
    assert "DDE names one folder twice" in message


def test_importing_the_command_is_light():
    code = "import sys, ddecli.cli.table; print({'torch', 'numpy', 'pyarrow', 'scipy'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"
