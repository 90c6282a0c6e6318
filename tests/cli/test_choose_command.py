"""`ddecli choose` as it is typed."""

import json

import numpy as np
import yaml
from score_sets import score_set, write


def test_choice_is_printed_and_written(ddecli, tmp_path):
    values = {name: np.array([[1.0], [3.0], [5.0]]) for name in ("clip", "hps", "pickscore")}
    base = write(score_set("base", values), tmp_path / "images-base")
    trials = []
    for beta, gain in ((5.0, 0.5), (20.0, 1.0), (80.0, -1.0)):
        run = tmp_path / f"run-{beta:g}"
        run.mkdir()
        (run / "run.yaml").write_text(yaml.safe_dump({"loss": "dde", "beta": beta, "lr": 3e-5}))
        scores = score_set("trial", {name: each + gain for name, each in values.items()}, model=str(run))
        trials.append(write(scores, tmp_path / f"images-{beta:g}"))
    result = ddecli("choose", base, *trials, "--out", tmp_path / "grid.json")
    assert result.code == 0
    assert "dde" in result.out
    record = json.loads((tmp_path / "grid.json").read_text())
    assert record["chosen"] == {"dde": {"beta": 20.0, "lr": 3e-5}}
    assert len(record["rows"]) == 3


def test_an_unscored_folder_is_one_sentence(ddecli, tmp_path):
    result = ddecli("choose", tmp_path, tmp_path)
    assert result.code == 2
    assert "ddecli score" in result.error
