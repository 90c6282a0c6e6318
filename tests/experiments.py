"""A whole experiment made by hand: scores, runs, Inception Scores, table, figure, grid, and their description."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image
from run_folders import write_run
from score_sets import score_set, write

from ddecli.stats.metrics import PAPER_METRICS
from ddecli.tables.build import score_table
from ddecli.tuning.choose import Choice, Trial

SHIFTS = {"base": [0.0], "uniform": [0.024, 0.026, 0.025], "dde": [0.06, 0.064, 0.062], "0-0.1": [0.01]}
METRICS = ("clip", "hps", "pickscore", "truth")
SETTINGS = {"model": "tiny", "steps": 8, "batch_size": 16, "lr": 3e-5, "beta": 20.0, "segment": None}
SCORER = {
    "classifier": {"model": "c"},
    "conventions": {},
    "splits": 10,
    "images": 100,
    "protocol": {"steps": 15},
}


def scores(row: str, training: int, shift: float) -> dict[str, np.ndarray]:
    """Scores of 30 prompts, 2 images each; diversity falls as they rise, and the truth of uniform falls too."""
    common = 1 + 0.1 * np.random.default_rng(0).normal(size=(30, 1))
    noise = 0.01 * np.random.default_rng(len(row) + 10 * training).normal(size=(30, 2))
    found = {metric: common + noise + shift for metric in METRICS}
    if row == "uniform":
        found["truth"] = common + noise - shift
    return found | {"diversity": common - shift + noise}


def run_folder(folder: Path, seed: int, loss: str, **settings: Any) -> Path:
    """A run of 8 steps whose weight rises with t and whose logits saturate, with correction terms that fall."""
    steps, t = 8, np.linspace(0, 0.98, 50)
    weight = np.tile((1 + 0.01 * seed) * np.exp(2 * t), (steps, 1))
    sigmoid = np.full((steps, 50), 0.1)
    corrections = -np.linspace(0.1, 1, steps)[:, None] * (1 - t) * (1 + 0.1 * seed)
    write_run(
        folder,
        weight,
        np.full((steps, 50), 2.0),
        corrections,
        sigmoid,
        implicit_accuracy=np.linspace(0.5, 0.8, steps),
    )
    (folder / "run.yaml").write_text(yaml.safe_dump(SETTINGS | {"seed": seed, "loss": loss} | settings))
    performance = {"seconds": 30.0, "versions": {"ddecli": "1"}, "machine": {"cores": 2}, "device": "cpu"}
    performance["date"] = f"2026-11-{28 + seed % 2}"
    (folder / "perf.json").write_text(json.dumps(performance))
    return folder


def write_grid(file: Path, gains: dict[tuple[str, float], float], lr: float, **protocol) -> None:
    """The record of a grid with gains by (loss, beta), as `ddecli choose` writes it."""
    trials = [
        Trial(loss, beta, lr, [0], gain, [gain], {"clip": 0.6}, 34.1) for (loss, beta), gain in gains.items()
    ]
    choice = Choice(protocol, PAPER_METRICS, {"steps": 8}, {"clip": 0.5}, trials)
    file.write_text(json.dumps(choice.as_dict()))


def write_experiment(root: Path, **changes: Any) -> Path:
    """Lay everything under `root` and describe it in `root`/experiment.yaml; figures lie in `root`/paper."""
    sets, listed, runs = {}, {}, {}
    for row, shifts in SHIFTS.items():
        sets[row] = [
            score_set(f"{row}-{n}", scores(row, n, shift), f"{row}-{n}", num_prompts=30)
            for n, shift in enumerate(shifts)
        ]
        listed[row] = [str(write(each, root / "images" / each.name)) for each in sets[row]]
    for method in ("uniform", "dde"):
        runs[method] = [str(run_folder(root / "runs" / f"{method}-{n}", n, method)) for n in range(3)]
    inception = {}
    for row, means in {"base": [4.0], "dde": [5.0, 5.1]}.items():
        for n, mean in enumerate(means):
            folder = root / "classes" / f"{row}-{n}"
            folder.mkdir(parents=True)
            (folder / "inception.json").write_text(json.dumps(SCORER | {"mean": mean, "std": 0.1}))
            inception.setdefault(row, []).append(str(folder))
    table = score_table(2, {"tiny": sets["base"], "Uni": sets["uniform"], "DDE": sets["dde"]})
    (root / "table2.json").write_text(json.dumps(table.as_dict()))
    (root / "paper" / "figures").mkdir(parents=True)
    Image.new("RGB", (40, 20), "teal").save(root / "paper" / "figures" / "credit.png")
    write_grid(root / "grid.json", {("dde", 5.0): 0.1, ("dde", 20.0): 0.2}, lr=3e-5)
    segments = {row: listed.pop(row) for row in list(listed) if row[0].isdigit()}
    model = {"paper": "SD15", "scores": listed, "segments": segments, "runs": runs, "inception": inception}
    experiment = {
        "name": "hand-made",
        "title": "DDE_by hand: 3 < 4 & *so* on",
        "tables": {2: str(root / "table2.json")},
        "models": {"tiny": model},
        "figures": [{"file": "figures/credit.png", "title": "Credit"}],
        "grid": str(root / "grid.json"),
    } | changes
    file = root / "experiment.yaml"
    file.write_text(yaml.safe_dump(experiment, sort_keys=False))
    return file
