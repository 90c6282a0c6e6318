"""The example of an experiment of one's own, run for real with a small model, pairs and prompts."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest
import smoke
import yaml
from plans import ROOT, jobs, snakemake

METRICS = ("clip", "hps")


def own(folder: Path) -> Path:
    """workflow/config/own.yaml with what is its user's put in: small folders, two steps, two trainings."""
    settings = yaml.safe_load((ROOT / "workflow" / "config" / "own.yaml").read_text())
    (model,) = settings["models"].values()
    model |= {
        "source": "smoke/sd15",
        "prepare": {"data": "smoke/pairs"},
        "train": {"steps": 2, "batch-size": 4, "micro-batch-size": 4, "warmup": 1, "lora": 2},
        "sample": {"prompts": "smoke/prompts.txt", "images-per-prompt": 2, "steps": 2},
        "score": {"metric": list(METRICS), "scorer": [f"{metric}=smoke/clip" for metric in METRICS]},
    }
    for method in model["methods"].values():
        method["seeds"] = 2
    file = folder / "my-experiment.yaml"
    file.write_text(yaml.safe_dump(settings, sort_keys=False))
    return file


def test_an_experiment_of_ones_own_is_served_by_its_report(tmp_path: Path) -> None:
    smoke.make(tmp_path / "smoke")
    found = snakemake(tmp_path, "--configfile", own(tmp_path), "--show-failed-logs")
    assert found.returncode == 0, found.stdout[-8000:]
    paper = tmp_path / "paper" / "own"
    text = (paper / "reproduction.md").read_text()
    for words in ("the paper", "drawn shapes", "not measured", "hidden utility", "not available"):
        assert words not in text, words
    rows = list(csv.DictReader((paper / "table-my-model.csv").open(encoding="utf-8")))
    differences = {(row["label"], row["base"], row["metric"]): row for row in rows if row["base"]}
    assert {pair[:2] for pair in differences} == {
        ("Diffusion-DPO", "my-model"),
        ("DDE", "my-model"),
        ("DDE", "Diffusion-DPO"),
    }
    means = {(row["label"], row["metric"]): float(row["mean"]) for row in rows}
    for (first, second, metric), row in differences.items():
        assert float(row["difference"]) == pytest.approx(
            means[first, metric] - means[second, metric], abs=1e-9
        )
        assert float(row["difference_low"]) <= float(row["difference"]) <= float(row["difference_high"])
    assert re.search(r"^\| DDE − Diffusion-DPO \| .*\[.*\](, \d of \d below)? \| .*\[", text, re.MULTILINE)
    assert (
        "Trainings of equal seeds are paired, over the seeds that both rows have (DDE and Diffusion-DPO);"
        in text
    )
    claims = json.loads((paper / "claims.json").read_text())
    assert claims["models"] == {"my-model": None}
    assert claims["counts"]["not measured"] == len(claims["claims"])
    assert claims["differences"]["my-model"][-1]["same_seeds"] is True


def test_three_models_are_planned(tmp_path: Path) -> None:
    smoke.make(tmp_path / "smoke")
    file = own(tmp_path)
    settings = yaml.safe_load(file.read_text())
    (model,) = settings["models"].values()
    settings["models"] = {"one": model, "two": model, "SD-1.5": model}
    file.write_text(yaml.safe_dump(settings, sort_keys=False))
    found = snakemake(tmp_path, "--configfile", file, "--dry-run", "--quiet", "rules")
    assert found.returncode == 0, found.stdout
    planned = jobs(found.stdout)
    assert planned["side_by_side"] == 3
    assert planned["train"] == 3 * 2 * 2
