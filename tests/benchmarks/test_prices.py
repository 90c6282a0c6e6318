"""`benchmarks/prices.py`: hours by hand, where a rate is from, and that none is made up."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "prices.py"
GIVEN = ("sd15-sample=5", "sd15-score=50", "sdxl-train=8", "sdxl-sample=1", "sdxl-score=40")


def priced(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, SCRIPT, *map(str, words)], capture_output=True, text=True)


def rates(*texts: str) -> list[str]:
    return [word for text in texts for word in ("--rate", text)]


def cells(text: str, *row: str) -> list[str]:
    for line in text.splitlines():
        found = [cell.strip() for cell in line.strip("|").split("|")]
        if found[: len(row)] == list(row):
            return found
    raise AssertionError(text)


def test_hours_follow_from_the_configuration_and_the_rates() -> None:
    done = priced(*rates("sd15-train=50", *GIVEN), "--price", 2)
    assert done.returncode == 0, done.stderr
    *_, amount, rate, one, eight, many = cells(done.stdout, "Table 2", "sd15", "train: 6 methods")
    assert (amount, rate) == (f"{6 * 2000 * 2048:,} pairs", "50")
    hours = 6 * 2000 * 2048 / 50 / 3600
    assert [float(each) for each in (one, eight, many)] == pytest.approx(
        [hours, hours / 8, hours / 64], abs=0.051
    )
    assert cells(done.stdout, "Table 2", "sd15", "sample: 7 models")[3] == f"{7 * 500 * 8:,} images"
    assert cells(done.stdout, "Table 4", "sdxl")[3] == f"{2 * 1000 * 50:,} images"
    work = [
        (6 * 2000 * 2048, 50), (7 * 4000, 5), (7 * 4000, 50), (3 * 1500 * 2048, 8), (4 * 4000, 1), (4 * 4000, 40),
        (100_000, 5), (100_000, 1),
    ]  # fmt: skip
    total = sum(amount / rate / 3600 for amount, rate in work)
    assert float(cells(done.stdout, "all")[5]) == pytest.approx(total, abs=0.051)
    assert f"At 2 for an hour of one GPU (given): {2 * total:,.0f} on 1" in done.stdout
    assert "Hours are estimates" in done.stdout and "sd15-train 50 (given by --rate)" in done.stdout
    grid = priced(*rates("sd15-train=50", *GIVEN), "--grid", "--efficiency", 0.5)
    assert float(cells(grid.stdout, "all")[5]) > total
    *_, alone, of_eight, _ = cells(grid.stdout, "Table 4", "sdxl")
    assert float(of_eight) == pytest.approx(float(alone) / 4, abs=0.1) and "keeps 50% of it" in grid.stdout


def test_rates_are_those_of_the_fastest_cells_that_were_measured(tmp_path: Path) -> None:
    found = {
        "sd15/full/dde/micro-4": {"pairs_per_second": 30.0},
        "sd15/full/dde/micro-8": {"pairs_per_second": 40.0},
        "sd15/full/dde/micro-16": {"out_of_memory": True},
        "sd15/full/script/micro-8": {"pairs_per_second": 90.0},
        "sd15/lora/dde/micro-8": {"pairs_per_second": 91.0},
        "sampling/float16/batch-8": {"images_per_second": 20.0, "scaled_to_50_steps": 4.0},
    }
    (tmp_path / "gpu-x.json").write_text(json.dumps({"cells": found}))
    done = priced("--results", tmp_path / "gpu-x.json", *rates(*GIVEN[1:]))
    assert done.returncode == 0, done.stderr
    assert "sd15-train 40 (measured: sd15/full/dde/micro-8 in gpu-x.json)" in done.stdout
    assert "sd15-sample 4 (measured: sampling/float16/batch-8 in gpu-x.json)" in done.stdout
    assert "sd15-train 7 (given by --rate)" in priced(
        "--results", tmp_path / "gpu-x.json", *rates("sd15-train=7", *GIVEN[1:])
    ).stdout  # fmt: skip


def test_a_rate_that_nobody_has_measured_is_asked_for(tmp_path: Path) -> None:
    done = priced(*rates(*GIVEN))
    assert done.returncode == 2 and done.stdout == ""
    assert "no rate is known of sd15-train: give each with --rate" in done.stderr
    for text in ("sd15-train", "sd15-train=0", "sd15-walk=3"):
        done = priced(*rates(text))
        assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    assert priced("--results", tmp_path / "none.json").returncode == 2
