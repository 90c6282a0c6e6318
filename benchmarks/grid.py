"""Choose beta and learning rate of every loss on the world's validation prompts, from one stated grid.

Run as: python benchmarks/grid.py --model tiny --out benchmarks/results/grid-tiny.json [--part 0 --parts 2]

Every cell trains with an equal budget (the recipe's steps and batch size) and is judged by the three scorers on
images of the validation prompts: per scorer the mean difference to the base model, in units of the base's standard
deviation over prompts; `gain` is the mean of the three. `truth` and `diversity` are recorded and play no part.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ddecli.cli.prepare import default_store, prepare
from ddecli.core.files import read_json, write_json
from ddecli.models.load import load_pipeline
from ddecli.sampling.generate import SamplingSettings, sample_images
from ddecli.sampling.prompts import make_prompt_set
from ddecli.scoring.score import ScoringSettings, score_images
from ddecli.scoring.sources import read_source
from ddecli.tinyworld.prompts import world_prompts
from ddecli.training.loop import train
from ddecli.training.settings import resolve_settings

BETAS = (5.0, 20.0, 80.0, 320.0, 1280.0)
RATES = (3e-5, 1e-5, 1e-4)
"""The common grid, logarithmic in beta, for every loss that has a beta; SFT takes the rates below. The middle rate
comes first, so that a grid that was stopped has every beta at it."""
SFT_RATES = (3e-5, 1e-5, 1e-4)
METRICS = ("clip", "hps", "pickscore", "truth")
JUDGES = ("clip", "hps", "pickscore")
IMAGES_PER_PROMPT = 4


def cells() -> list[dict[str, Any]]:
    """Every cell of the grid, the middle of the range first."""
    order = sorted(BETAS, key=lambda beta: abs(np.log(beta / np.median(BETAS))))
    losses = ("dde", "uniform", "dde-single", "dde-step", "discounted")
    preference = [{"loss": loss, "beta": beta, "lr": lr} for lr in RATES for beta in order for loss in losses]
    return preference + [{"loss": "sft", "lr": lr} for lr in SFT_RATES]


def judge(model: str, folder: Path, num_prompts: int) -> dict[str, np.ndarray]:
    """Sample the validation prompts and score them: the mean of each prompt by metric."""
    prompts = make_prompt_set("world:validation", world_prompts("validation"), num_prompts)
    settings = SamplingSettings(IMAGES_PER_PROMPT, None, None, 0, None, (1, 1), False)
    sample_images(load_pipeline(model), model, prompts, settings, folder)
    scoring = ScoringSettings(METRICS, "tiny", {}, 64, 0.01, torch.device("cpu"))
    scores = score_images(read_source([folder]), scoring, folder)
    means = {}
    for name, values in scores.metrics.items():
        ids = np.unique(values.prompt_ids)
        means[name] = np.array([values.scores[values.prompt_ids == each].mean() for each in ids])
    return means


def compare(found: dict[str, np.ndarray], base: dict[str, np.ndarray]) -> dict[str, float]:
    """Mean of each metric, and the gain over the base in its standard deviations."""
    gains = [(found[name].mean() - base[name].mean()) / base[name].std() for name in JUDGES]
    return {name: round(float(values.mean()), 5) for name, values in found.items()} | {
        "gain": round(float(np.mean(gains)), 4)
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/grid-tiny.json"))
    parser.add_argument("--work", type=Path, default=Path("grid"))
    parser.add_argument("--num-prompts", type=int, default=60)
    parser.add_argument("--part", type=int, default=0)
    parser.add_argument("--parts", type=int, default=1)
    options = parser.parse_args()
    store = default_store(options.model)
    if not (store / "manifest.json").exists():
        prepare(model=options.model, out=store)
    part = (
        options.out.with_suffix(f".{options.part}-of-{options.parts}.json")
        if options.parts > 1
        else options.out
    )
    record = read_json(part) if part.exists() else {"rows": []}
    base = judge(options.model, options.work / f"base-{options.model}-{options.part}", options.num_prompts)
    for cell in cells()[options.part :: options.parts]:
        if any(cell.items() <= row.items() for row in record["rows"]):
            continue
        run = options.work / "-".join([options.model, *(str(value) for value in cell.values())])
        settings = resolve_settings(
            {"model": options.model, "data": str(store), "out": str(run), "device": "cpu"} | cell
        )
        began = time.monotonic()
        train(settings, resume=True)
        trained = time.monotonic()
        row = cell | compare(judge(str(run), run / "images", options.num_prompts), base)
        row |= {
            "train_seconds": round(trained - began, 1),
            "judge_seconds": round(time.monotonic() - trained, 1),
        }
        record = {
            "command": f"python benchmarks/grid.py --model {options.model}",
            "grid": {"beta": BETAS, "lr": RATES, "sft_lr": SFT_RATES},
            "budget": {"steps": settings.steps, "batch_size": settings.batch_size, "warmup": settings.warmup},
            "prompts": options.num_prompts,
            "images_per_prompt": IMAGES_PER_PROMPT,
            "threads": torch.get_num_threads(),
            "base": compare(base, base),
            "rows": [*record["rows"], row],
        }
        write_json(part, record)
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
