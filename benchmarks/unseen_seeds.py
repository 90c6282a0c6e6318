"""Whether the shipped recipes are safe: trainings with seeds that chose nothing, each beside the base model.

    python benchmarks/unseen_seeds.py --work seeds --losses dde uniform dde-step --seeds 100 111

Every training takes `ddecli`'s own settings; pictures are of the world's test prompts. Written are the mean scores of
every training and of the base, and in how many trainings each mean lies above the base's. Started again it goes on.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from ddecli.core.files import write_json
from ddecli.core.manifest import machine, versions
from ddecli.core.scores import ScoreSet, check_same_protocol, load_scores
from ddecli.stats.metrics import is_part

IMAGES = 2
METRICS = ("clip", "hps", "pickscore", "truth", "attributes")


def ddecli(work: Path, *words: str) -> None:
    """Run a command in a folder."""
    subprocess.run([sys.executable, "-m", "ddecli", *words], cwd=work, check=True)


def scored(work: Path, model: str, name: str, prompts: int) -> ScoreSet:
    """The scores of a model's pictures; the commands keep what is there already."""
    sampling = ("--prompts", "world:test", "--num-prompts", str(prompts), "--images-per-prompt", str(IMAGES))
    ddecli(work, "sample", model, *sampling, "--out", f"images/{name}")
    ddecli(work, "score", f"images/{name}", *(word for metric in METRICS for word in ("--metric", metric)))
    return load_scores(work / "images" / name)


def means(scores: ScoreSet) -> dict[str, float]:
    """Mean over prompts of every metric."""
    shown = (metric for metric in scores.metrics if not is_part(metric))
    return {metric: round(float(scores.metric(metric).prompt_means().mean()), 5) for metric in shown}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--losses", nargs="+", default=["dde", "uniform", "dde-step"])
    parser.add_argument(
        "--seeds", type=int, nargs=2, default=[100, 111], metavar=("FIRST", "LAST"), help="both included"
    )
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("--work", type=Path, required=True, help="folder for runs and pictures")
    parser.add_argument("--out", type=Path, help="record; seeds-MODEL.json in the folder if not given")
    arguments = parser.parse_args()
    work, model = arguments.work, arguments.model
    work.mkdir(parents=True, exist_ok=True)
    out = (arguments.out or work / f"seeds-{model}.json").resolve()
    before = scored(work, model, "base", arguments.prompts)
    base = means(before)
    found: dict[str, dict[int, dict[str, float]]] = {}
    for loss in arguments.losses:
        for seed in range(arguments.seeds[0], arguments.seeds[1] + 1):
            run = f"runs/{loss}-{seed}"
            ddecli(
                work, "train", "--model", model, "--loss", loss, "--seed", str(seed), "--out", run, "--resume"
            )
            after = scored(work, run, f"{loss}-{seed}", arguments.prompts)
            check_same_protocol([before, after])
            found.setdefault(loss, {})[seed] = means(after)
            above = {
                metric: f"{sum(each[metric] > base[metric] for each in found[loss].values())}/{len(found[loss])}"
                for metric in METRICS
            }
            print(f"{loss} {seed}: {found[loss][seed]}, above the base: {above}", flush=True)
            record = {
                "command": " ".join(sys.argv),
                "prompts": arguments.prompts,
                "images_per_prompt": IMAGES,
            }
            record |= {"base": base, "trainings": found}
            write_json(out, record | {"versions": versions(), "machine": machine()})


if __name__ == "__main__":
    main()
