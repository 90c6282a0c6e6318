"""Score sets made by hand for the tests of reporting and `ddecli table`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ddecli.reporting.scores import ScoreSet

PROTOCOL = {
    "prompt_set": "test",
    "prompts_sha256": "ab12",
    "num_prompts": 4,
    "images_per_prompt": 2,
    "sampler": "ddim",
    "steps": 15,
    "guidance_scale": 2.0,
    "seed": 0,
    "resolution": 32,
}


def card(metric: str, **changes) -> dict:
    return {"model": f"tiny-{metric}", "revision": "r1", "scale": 1.0} | changes


def score_set(name: str, scores: dict[str, np.ndarray], model: str = "base", **protocol) -> ScoreSet:
    """A set from one array `(prompts, images)` a metric; `(prompts,)` makes one score a prompt."""
    columns: dict[str, list] = {"prompt_id": [], "image_index": [], "metric": [], "score": []}
    for metric, values in scores.items():
        values = np.asarray(values, dtype=float)
        whole = values.ndim == 1
        for (prompt, image), value in np.ndenumerate(values[:, None] if whole else values):
            columns["prompt_id"].append(prompt)
            columns["image_index"].append(-1 if whole else image)
            columns["metric"].append(metric)
            columns["score"].append(value)
    return ScoreSet(
        name,
        {key: np.array(values) for key, values in columns.items()},
        PROTOCOL | {"model": {"name": model}} | protocol,
        {metric: card(metric) for metric in scores},
    )


def write(scores: ScoreSet, folder: Path) -> Path:
    """Lay a set on disk as `ddecli score` does."""
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(scores.table), folder / "scores.parquet")
    (folder / "scores.json").write_text(
        json.dumps({"protocol": scores.protocol, "scorers": scores.scorers}), encoding="utf-8"
    )
    return folder
