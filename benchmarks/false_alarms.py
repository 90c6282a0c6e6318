"""How often the alarms of contact sheets ring where nothing happens: the base against itself, with other noise.

    python benchmarks/false_alarms.py --work false-alarms --out benchmarks/results/false-alarms.json

Many pictures of each of some prompts are drawn with the tiny model and scored. A run is then imagined: some prompts,
two pictures of each as the base's, and as many sheets, each of two others of the same prompts. A trained model's
pictures are drawn from the base's noise and differ less by chance: this is the harder case. Held-out pairs are told to
be learned, or the second half of the rule for a fooled scorer could not ring at all. Also counted is what would ring
with plain 95 % intervals, not corrected for the number of looks.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np

from ddecli.core.files import write_json
from ddecli.core.images import load_image
from ddecli.core.manifest import machine, versions
from ddecli.core.scores import MetricScores, ScoreSet, load_scores
from ddecli.stats.compare import compare
from ddecli.stats.intervals import CONFIDENCE
from ddecli.watch.rules import alike, fooled, level_of, worse

METRICS = ("clip", "hps", "pickscore", "truth")
LEARNED = {
    "holdout_margin": -1.0, "holdout_margin_error": 0.01, "holdout_accuracy": 0.7, "holdout_pairs": 256
}  # fmt: skip
IMAGES = 2


def drawn(work: Path, prompts: int, images: int) -> dict[str, np.ndarray]:
    """Scores of the base's pictures by metric, (prompts, images); the commands keep what is there already."""
    counts = ("--num-prompts", str(prompts), "--images-per-prompt", str(images))
    metrics = [word for metric in METRICS for word in ("--metric", metric)]
    for words in (
        ("sample", "tiny", "--prompts", "world:test", *counts, "--out", "many"),
        ("score", "many", *metrics),
    ):
        subprocess.run([sys.executable, "-m", "ddecli", *words], cwd=work, check=True)
    found = load_scores(work / "many")
    return {metric: found.metric(metric).score.reshape(prompts, images) for metric in METRICS}


def chosen(scores: dict[str, np.ndarray], prompts: np.ndarray, images: np.ndarray) -> ScoreSet:
    """The scores of some pictures, `images` (prompts, n) of each prompt."""
    ids = np.repeat([f"{number:012d}" for number in prompts], images.shape[1])
    index = np.tile(np.arange(images.shape[1]), len(prompts))
    metrics = {
        name: MetricScores(ids, index, values[prompts[:, None], images].ravel())
        for name, values in scores.items()
    }
    return ScoreSet("base", metrics, {"model": "tiny"}, {name: {} for name in metrics})


def run(
    scores: dict[str, np.ndarray], rng: np.random.Generator, prompts: int, sheets: int, level: float
) -> set[str]:
    """The alarms of an imagined run."""
    of, images = scores["clip"].shape
    ours = np.sort(rng.choice(of, prompts, replace=False))
    order = rng.permuted(np.tile(np.arange(images), (prompts, 1)), axis=1)
    base = chosen(scores, ours, order[:, :IMAGES])
    rung = set()
    for _ in range(sheets):
        own = rng.permuted(order[:, IMAGES:], axis=1)[:, :IMAGES]
        compared = compare(chosen(scores, ours, own), base, level)
        found = {
            "scores disagree": fooled(compared, (), {}),
            "learned, not seen": fooled(compared, (), LEARNED),
            "all scores fall": worse(compared),
        }
        rung |= {name for name, text in found.items() if text}
    return rung


def distances(folder: Path, prompts: int, images: int) -> np.ndarray:
    """Of pixels, root mean square, between every two pictures of a prompt: (prompts, images, images)."""
    files = sorted(folder.glob("*-??.png"))
    pixels = np.stack([np.asarray(load_image(file), dtype=np.float32).ravel() / 255 for file in files])
    own = pixels.reshape(prompts, images, -1)
    return np.stack([np.sqrt(np.mean((each[:, None] - each) ** 2, axis=-1)) for each in own])


def alike_by_chance(
    between: np.ndarray, rng: np.random.Generator, prompts: int, sheets: int, level: float
) -> bool:
    """Whether images of a prompt become alike in an imagined run."""
    of, images, _ = between.shape
    ours = rng.choice(of, prompts, replace=False)
    order = rng.permuted(np.tile(np.arange(images), (prompts, 1)), axis=1)

    def of_pairs(own: np.ndarray) -> np.ndarray:
        return between[ours, own[:, 0], own[:, 1]]

    base = of_pairs(order)
    sheet = (of_pairs(rng.permuted(order[:, IMAGES:], axis=1)) for _ in range(sheets))
    return any(alike(own, base, level) is not None for own in sheet)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, default=Path("false-alarms"))
    parser.add_argument("--prompts", type=int, default=100, help="that are drawn")
    parser.add_argument("--images", type=int, default=24, help="of each of them")
    parser.add_argument("--runs", type=int, default=2000, help="imagined, of each kind")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    scores = drawn(given.work, given.prompts, given.images)
    between = distances(given.work / "many", given.prompts, given.images)
    rows = []
    for prompts in (8, 32):
        for sheets in (4, 20):
            strict = level_of(sheets, 1, len(METRICS))
            row: dict[str, object] = {"prompts": prompts, "sheets": sheets}
            for name, level in (("corrected", strict), ("plain", CONFIDENCE)):
                rng = np.random.default_rng(0)
                counts = Counter(
                    alarm for _ in range(given.runs) for alarm in run(scores, rng, prompts, sheets, level)
                )
                row[name] = {
                    alarm: counts[alarm] / given.runs
                    for alarm in ("scores disagree", "learned, not seen", "all scores fall")
                }
            rng = np.random.default_rng(0)
            level = level_of(sheets, 1, 1)
            rung = sum(alike_by_chance(between, rng, prompts, sheets, level) for _ in range(given.runs))
            row["alike"] = rung / given.runs
            rows.append(row)
            print(row, flush=True)
    if given.out:
        command = " ".join(["python", "benchmarks/false_alarms.py", *sys.argv[1:]])
        about = {"command": command, "runs": given.runs, "metrics": METRICS}
        write_json(given.out, about | {"rows": rows, "versions": versions(), "machine": machine()})


if __name__ == "__main__":
    main()
