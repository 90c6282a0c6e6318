"""What the paper's Tables 2 to 4 cost on 1, 8 and 64 GPUs, computed from rates that were measured on one.

Run as: python benchmarks/prices.py --results benchmarks/results/gpu-NAME.json --rate sd15-score=NUMBER ...
        python benchmarks/prices.py --rate sd15-train=NUMBER ... [--price DOLLARS] [--grid] [--efficiency SHARE]

How much there is to do follows from the configuration of the workflow (`workflow/config/paper.yaml`). How fast it goes
is taken from what `gpu.py` measured, or from `--rate`, which wins; where one is missing it is asked for, and nothing is
made up. Pairs and images a second of one GPU:

* `MODEL-train`: of a training, all its pairs asking the reference;
* `MODEL-sample`: of images at the 50 steps of the tables; of sdxl it is not among the cells of `gpu.py`;
* `MODEL-score`: of images, all metrics of the tables one after the other; measured by nobody here.

What is printed as an estimate: hours on several GPUs, which share trainings, images and pictures to score evenly and
lose nothing by it (`--efficiency` says otherwise); and all hours together, where preparing, loading, checkpoints,
waiting, and whatever is done again are left out. A second and later training that reads the errors of the reference
is faster; how much was not measured on a GPU, and so it is not counted.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ddecli.sampling.prompt_sets import IMAGENET, PUBLISHED, imagenet_prompts
from ddecli.workflow.runs import grid_runs, sampled_runs

CONFIG = Path(__file__).parents[1] / "workflow" / "config" / "paper.yaml"
GPUS = (1, 8, 64)
KINDS = {"train": "pairs", "sample": "images", "score": "images"}


@dataclass(frozen=True)
class Work:
    """A part of the tables: `amount` pairs or images of a `kind`, for a model."""

    table: str
    model: str
    kind: str
    what: str
    amount: int

    @property
    def rate(self) -> str:
        return f"{self.model}-{self.kind}"


@dataclass(frozen=True)
class Rate:
    """Pairs or images a second of one GPU, and where the number is from."""

    value: float
    source: str


def prompts_of(name: str) -> int:
    """How many prompts a set has, as it was published."""
    return len(imagenet_prompts()) if name == IMAGENET else PUBLISHED[name].count


def works(config: Mapping[str, Any], grid: bool) -> Iterator[Work]:
    """All that Tables 2 to 4 ask for; with the grid that chooses beta and rate, if it is wanted."""
    for number, table in config["tables"].items():
        if int(number) == 4:
            for model in table:
                yield from _table_4(config, model)
            continue
        model, runs = table["model"], sampled_runs(config, table["model"])
        settings, methods = config["models"][model], [runs[name] for name in table["methods"]]
        trained = sum(len(run.seeds) * pairs_of(settings["train"] | run.options) for run in methods)
        folders = 1 + sum(len(run.seeds) for run in methods)  # the base is sampled too
        sampled = folders * images_of(settings["sample"])
        name = f"Table {number}"
        yield Work(name, model, "train", f"{len(methods)} methods", trained)
        yield Work(name, model, "sample", f"{folders} models", sampled)
        yield Work(name, model, "score", ", ".join(settings["score"]["metric"]), sampled)
    for model, settings in config["models"].items():
        cells = grid_runs(config, model) if grid else {}
        if cells:
            common = settings["train"] | config["grid"]["train"]
            own = sum(len(run.seeds) * pairs_of(common | run.options) for run in cells.values())
            count = sum(len(run.seeds) for run in cells.values())
            images = (
                count
                * config["grid"]["sample"]["num-prompts"]
                * config["grid"]["sample"]["images-per-prompt"]
            )
            yield Work("grid", model, "train", f"{count} cells", own)
            yield Work("grid", model, "sample", f"{count} cells", images)
            yield Work("grid", model, "score", ", ".join(settings["score"]["metric"]), images)


def _table_4(config: Mapping[str, Any], model: str) -> Iterator[Work]:
    """Images of all classes, of the base and of the method that the table shows, which another table has trained."""
    classes = images_of(config["models"][model]["classes"])
    yield Work("Table 4", model, "sample", "base and one method, classes", 2 * classes)


def pairs_of(train: Mapping[str, Any]) -> int:
    """Pairs that a training sees."""
    return int(train["steps"]) * int(train["batch-size"])


def images_of(sample: Mapping[str, Any]) -> int:
    return prompts_of(sample["prompts"]) * int(sample["images-per-prompt"])


def measured_rates(path: Path) -> dict[str, Rate]:
    """The fastest cells of a file of `gpu.py`: full training with DDE, and sampling of sd15, scaled to 50 steps."""
    cells: dict[str, dict[str, Any]] = json.loads(path.read_text())["cells"]
    found: dict[str, Rate] = {}
    for name, cell in cells.items():
        model, kind, key = name.split("/")[0], "train", "pairs_per_second"
        if name.startswith("sampling/"):
            model, kind, key = "sd15", "sample", "scaled_to_50_steps"
        elif not name.startswith(f"{model}/full/dde/micro-"):
            continue
        value = cell.get(key)
        if value and value > found.get(f"{model}-{kind}", Rate(0.0, "")).value:
            found[f"{model}-{kind}"] = Rate(value, f"measured: {name} in {path.name}")
    return found


def given_rates(texts: list[str]) -> dict[str, Rate]:
    """Read `NAME=NUMBER` texts. Raises ValueError for one that is none."""
    found = {}
    for text in texts:
        name, equals, number = text.partition("=")
        model, _, kind = name.rpartition("-")
        if not equals or not model or kind not in KINDS or not float(number) > 0:
            raise ValueError(f"--rate {text} must be MODEL-{'|'.join(KINDS)}=NUMBER, with a number above 0")
        found[name] = Rate(float(number), "given by --rate")
    return found


def page(todo: list[Work], rates: Mapping[str, Rate], efficiency: float, price: float | None) -> str:
    """The table of prices, in Markdown."""

    def hours(work: Work, gpus: int) -> float:
        return work.amount / rates[work.rate].value / 3600 / (gpus if gpus == 1 else gpus * efficiency)

    lines = [
        "| for | model | work | amount | a second and GPU | "
        + " | ".join(f"hours on {n}" for n in GPUS)
        + " |",
        "| --- " * (5 + len(GPUS)) + "|",
    ]
    for work in todo:
        times = " | ".join(f"{hours(work, gpus):,.1f}" for gpus in GPUS)
        amount = f"{work.amount:,} {KINDS[work.kind]}"
        what, rate = f"{work.kind}: {work.what}", f"{rates[work.rate].value:g}"
        lines.append(f"| {work.table} | {work.model} | {what} | {amount} | {rate} | {times} |")
    total = [sum(hours(work, gpus) for work in todo) for gpus in GPUS]
    lines.append(f"| all | | | | | {' | '.join(f'{each:,.1f}' for each in total)} |")
    text = ["\n".join(lines), "Rates of one GPU: " + "; ".join(
        f"{name} {rate.value:g} ({rate.source})" for name, rate in rates.items() if any(w.rate == name for w in todo)
    ) + "."]  # fmt: skip
    shared = "loses nothing" if efficiency == 1 else f"keeps {efficiency:.0%} of it"
    text.append(
        f"Amounts follow from the configuration. Hours are estimates: one GPU at these rates and nothing else; work "
        f"that several share {shared}, which is assumed. Left out: preparing, loading, checkpoints, waiting, what is "
        "done again, and what later trainings save by reading the reference's errors."
    )
    if price is not None:
        cost = ", ".join(
            f"{price * each * gpus:,.0f} on {gpus}" for each, gpus in zip(total, GPUS, strict=True)
        )
        text.append(f"At {price:g} for an hour of one GPU (given): {cost}.")
    return "\n\n".join(text)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--results", type=Path, nargs="+", default=[], help="files of gpu.py, of the same GPU"
    )
    parser.add_argument("--rate", action="append", default=[], metavar="NAME=NUMBER")
    parser.add_argument("--config", type=Path, default=CONFIG)
    parser.add_argument(
        "--grid", action="store_true", help="with the trainings that choose beta and learning rate"
    )
    parser.add_argument("--efficiency", type=float, default=1.0, help="of several GPUs; default: 1")
    parser.add_argument("--price", type=float, help="of an hour of one GPU")
    options = parser.parse_args()
    if not 0 < options.efficiency <= 1:
        parser.error("--efficiency is a share: above 0, and 1 at most")
    todo = list(works(yaml.safe_load(options.config.read_text()), options.grid))
    rates: dict[str, Rate] = {}
    try:
        for path in options.results:
            rates |= measured_rates(path)
        rates |= given_rates(options.rate)
    except (OSError, ValueError, KeyError) as error:
        parser.error(str(error))
    missing = sorted({work.rate for work in todo} - rates.keys())
    if missing:
        parser.error(
            f"no rate is known of {', '.join(missing)}: give each with --rate NAME=NUMBER (pairs or images a second of "
            "one GPU), or the file that python benchmarks/gpu.py leaves on one with --results"
        )
    print(page(todo, rates, options.efficiency, options.price))


if __name__ == "__main__":
    main()
