"""Score sets made by hand for the tests of tables, figures and articles, and of their commands."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ddecli.core.files import make_folder
from ddecli.core.scores import MetricScores, ScoreSet

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
    """A set from one array `(prompts, images)` a metric; prompt ids sort as the prompts do."""
    metrics = {}
    for metric, given in sorted(scores.items()):
        values = np.asarray(given, dtype=np.float32)
        prompt, image = np.indices(values.shape)
        ids = np.array([f"{number:012x}" for number in prompt.ravel()])
        metrics[metric] = MetricScores(ids, image.ravel().astype(np.int32), values.ravel())
    return ScoreSet(
        name,
        metrics,
        PROTOCOL | {"model": {"name": model}} | protocol,
        {metric: card(metric) for metric in metrics},
        images_sha256="cd34",
    )


def write(scores: ScoreSet, folder: Path) -> Path:
    """Lay a set on disk as `ddecli score` does."""
    scores.save(make_folder(folder))
    return folder


def change_card(folder: Path, change: Callable[[dict], object] = lambda about: None) -> Path:
    """Change scores.json, and leave it without digests, as those of earlier versions are."""
    about = json.loads((folder / "scores.json").read_text())
    for name in ("content_sha256", "files"):
        about.pop(name, None)
    change(about)
    (folder / "scores.json").write_text(json.dumps(about))
    return folder
