"""What only a GPU can show, with models of real size and random weights: nothing is downloaded.

Run as: python benchmarks/gpu.py                            everything, into benchmarks/results/gpu-<device>.json
        python benchmarks/gpu.py --only sd15 --minutes 9
        python benchmarks/gpu.py --small                    with small models on the processor, to test this script

* sd15, sdxl: full training and LoRA (rank 64) in bfloat16. Every cell of ddecli's is a fresh `Trainer`: the first
  step's loss against ln 2, pairs/s (median of the steps after warm-up) and peak memory, by micro-batch size (`auto`: as
  it is tried, with a larger batch), with and without gradient checkpointing and compilation. `script` cells are what a
  user would run instead (script_dpo.py) with the same optimizer and batch, `encoding` those that encode in every step.
  `resume` kills `ddecli train` and goes on from its checkpoint; `repeat` runs twice, then with deterministic kernels.
* sampling: images/s of `sample_images`, and of stock pipeline calls with the same sampler, both saving PNG files.
* tiny: `train` of the built-in world's model with its recipe, and with 16 times its batch.

The file is written after every cell, and a second command adds to it; what does not fit into memory or time is said.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import yaml
from cell_results import Found, Results, device_facts, free, memory, rounded, wait, what_went_wrong
from diffusers.utils import logging as diffusers_logging
from random_models import UNETS, make_model
from script_dpo import ScriptStep
from transformers.utils import logging as transformers_logging

from ddecli.data.prepare import prepare
from ddecli.models.load import load_for_sampling, load_model
from ddecli.sampling.generate import SamplingSettings, sample_images
from ddecli.sampling.prompts import make_prompt_set
from ddecli.tinyworld.pairs import world_pairs
from ddecli.training.loop import train
from ddecli.training.record import Brake
from ddecli.training.settings import TrainSettings, resolve_settings
from ddecli.training.trainer import Trainer

PARTS = ("tiny", "sd15", "sampling", "sdxl")
MODES = ("full", "lora")
RANK = 64
WARM_UP, LEAST_STEPS, MOST_SECONDS = 2, 3, 12.0
"""Steps that are not measured; steps that are, at least; seconds of them after which a cell is done."""
CHECKPOINT, RESUME_STEPS = 3, 6
SAMPLING_STEPS = 10

Cell = tuple[str, Callable[[], Found]]


@dataclass(frozen=True)
class Bench:
    """Where, and how large."""

    scratch: Path
    device: torch.device
    small: bool

    @property
    def batch(self) -> int:
        """Pairs an optimizer step."""
        return 4 if self.small else 8

    @property
    def micro_batches(self) -> tuple[int, ...]:
        return (2, 4) if self.small else (1, 2, 4, 8)

    def model(self, family: str) -> Path:
        """The folder of a random model."""
        folder = make_model(family, self.scratch / f"{family}-random", self.small, self.device)
        free()
        return folder

    def settings(self, family: str, mode: str, micro_batch: int | str, **given: Any) -> TrainSettings:
        """What a user gives, and the recipe; the rate is low, as random weights are fragile, but reached at once."""
        folder = self.model(family)
        ours = {
            "model": str(folder),
            "data": f"{folder}-pairs",
            "out": str(self.scratch / "run"),
            "loss": "dde",
            "lora": RANK if mode == "lora" else None,
            "lr": 1e-5 if mode == "lora" else 1e-6,
            "warmup": 1,
            "max_winner_error": math.inf,
            "steps": WARM_UP + (1 if self.small else 8),
            "batch_size": self.batch,
            "micro_batch_size": micro_batch,
            "precision": "bfloat16",
            "device": self.device.type,
            "gradient_checkpointing": False,
        }
        return resolve_settings(ours | given)


def timed_steps(
    step: Callable[[], Any], settings: TrainSettings, most_seconds: float = MOST_SECONDS
) -> Found:
    """Run the steps of a run: pairs/s of those after warm-up, and the memory that all of them took."""
    seconds: list[float] = []
    while len(seconds) < settings.steps:
        wait()
        began = time.perf_counter()
        step()
        wait()
        seconds.append(time.perf_counter() - began)
        measured = seconds[WARM_UP:]
        if len(measured) >= LEAST_STEPS and sum(measured) > most_seconds:
            break
    slowest, usual, fastest = (
        rounded(settings.batch_size / some(measured)) for some in (max, statistics.median, min)
    )
    return {
        "pairs_per_second": usual,
        "slowest_and_fastest": [slowest, fastest],
        "measured_steps": len(measured),
        "first_step_seconds": rounded(seconds[0]),
        **memory(),
    }


def first_and_later(history: list[Found]) -> Found:
    """What must hold: the policy is the reference at first (loss ln 2, logits 0), and the loss stays a number."""
    losses = [metrics["loss"] for metrics in history]
    return {
        "first_loss_minus_ln_2": abs(losses[0] - math.log(2)),
        "first_logit_mean": history[0]["logit"],
        "first_logit_std": history[0]["logit_std"],
        "is_finite": all(map(math.isfinite, losses)),
        "losses": losses,
    }


def ddecli_cell(settings: TrainSettings, most_seconds: float = MOST_SECONDS) -> Found:
    """Some steps of ddecli's training."""
    trainer = Trainer(settings)
    brake = Brake(settings.folder, settings.max_winner_error)
    history: list[Found] = []
    found = timed_steps(lambda: history.append(trainer.step(len(history), brake)), settings, most_seconds)
    if settings.compile:
        torch._dynamo.reset()
    reference = trainer.reference
    is_copy = reference is not None and reference.unet is not trainer.model.pipeline.unet
    return {
        **found,
        "optimizer": settings.optimizer,
        "micro_batch_size": trainer.settings.micro_batch_size,
        "trained_parameters": sum(parameter.numel() for parameter in trainer.parameters.values()),
        "reference": "a copy" if is_copy else "adapters off",
        **first_and_later(history),
    }


def script_cell(settings: TrainSettings, device: torch.device, encoding: bool = False) -> Found:
    """Some steps of the script."""
    return timed_steps(ScriptStep(settings, device, encoding), settings) | {"optimizer": settings.optimizer}


def differences(one: list[float], other: list[float]) -> Found:
    largest = max(abs(a - b) for a, b in zip(one, other, strict=True))
    return {"largest_difference": largest, "is_bit_equal": largest == 0}


def repeat_cell(settings: TrainSettings, deterministic: bool) -> Found:
    """The same run twice, as it is or with torch's deterministic kernels."""
    torch.use_deterministic_algorithms(deterministic, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            one = ddecli_cell(settings, math.inf)
            free()
            other = ddecli_cell(settings, math.inf)
    finally:
        torch.use_deterministic_algorithms(False)
    said = {str(warning.message) for warning in caught}
    return {
        **differences(one["losses"], other["losses"]),
        "pairs_per_second": other["pairs_per_second"],
        "without_deterministic_kernel": sorted(text[:120] for text in said if "determinis" in text),
        "losses": one["losses"],
    }


def resume_cell(settings: TrainSettings, scratch: Path) -> Found:
    """`ddecli train`, killed behind its first checkpoint and gone on with, against the same run in one piece."""
    in_one_piece = ddecli_cell(settings, math.inf)["losses"]
    free()
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        config, run, log = (Path(folder) / name for name in ("settings.yaml", "run", "log"))
        config.write_text(yaml.safe_dump(settings.model_dump() | {"out": str(run)}))
        command = [sys.executable, "-m", "ddecli", "train", "--config", str(config)]
        paths = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        checkpoint = run / "checkpoints" / f"step-{CHECKPOINT:06d}"
        with log.open("w") as output:
            how: dict[str, Any] = {"env": os.environ | paths, "stdout": output, "stderr": output}
            process = subprocess.Popen(command, **how)
            while process.poll() is None and not checkpoint.exists():
                time.sleep(0.01)
            process.kill()
            ended = [process.wait()]
            if ended == [-signal.SIGKILL]:
                size = sum(file.stat().st_size for file in checkpoint.iterdir())
                ended.append(subprocess.run([*command, "--resume"], check=False, **how).returncode)
        if ended != [-signal.SIGKILL, 0]:
            raise RuntimeError(f"ddecli train ended with {ended}: ...{log.read_text()[-250:]}")
        lines = (run / "metrics.jsonl").read_text().splitlines()
    losses = [json.loads(line)["loss"] for line in lines]
    return {
        "checkpoint_gib": rounded(size / 2**30),
        "before_the_kill": differences(in_one_piece[:CHECKPOINT], losses[:CHECKPOINT]),
        "after_it": differences(in_one_piece[CHECKPOINT:], losses[CHECKPOINT:]),
        "losses_in_one_piece": in_one_piece,
        "losses": losses,
    }


def sampling_cell(bench: Bench, dtype: torch.dtype, batch: int) -> Found:
    """Images/s of `sample_images` (a long call less a short one: its start is counted apart) and of stock diffusers."""
    model = load_for_sampling(str(bench.model("sd15")), bench.device, dtype)
    few, many = 1, 2 if bench.small else max(3, 16 // batch)

    def ours(batches: int) -> float:
        prompts = make_prompt_set("random", (f"picture number {i}" for i in range(batches * batch)))
        settings = SamplingSettings(images_per_prompt=1, steps=SAMPLING_STEPS, batch_size=batch)
        with tempfile.TemporaryDirectory(dir=bench.scratch) as out:
            began = time.perf_counter()
            sample_images(model, prompts, settings, Path(out))
            return time.perf_counter() - began

    def stock(batches: int) -> float:
        with tempfile.TemporaryDirectory(dir=bench.scratch) as out:
            began = time.perf_counter()
            for number in range(batches):
                prompts = [f"picture number {number * batch + i}" for i in range(batch)]
                images = model.pipeline(
                    prompts, num_inference_steps=SAMPLING_STEPS, guidance_scale=7.5
                ).images
                for place, image in enumerate(images):
                    image.save(Path(out) / f"{number}-{place}.png")
            return time.perf_counter() - began

    ours(few), stock(few)  # to warm up
    short, long, stock_long = ours(few), ours(many), stock(many)
    rate, stock_rate = (many - few) * batch / (long - short), many * batch / stock_long
    return {
        "steps": SAMPLING_STEPS,
        "images_per_second": rounded(rate),
        "stock_images_per_second": rounded(stock_rate),
        "scaled_to_50_steps": rounded(rate * SAMPLING_STEPS / 50),
        "stock_scaled_to_50_steps": rounded(stock_rate * SAMPLING_STEPS / 50),
        "start_seconds": rounded(max(0.0, short - few * batch / rate)),
        **memory(),
    }


def tiny_cell(bench: Bench, times: int) -> Found:
    """A whole training of the built-in world's model by its recipe, with so many times its batch."""
    store, run = bench.scratch / "tiny-pairs", bench.scratch / f"tiny-{times}"
    if not store.exists():
        pairs = world_pairs(100 if bench.small else 2000)
        prepare(pairs, load_model("tiny", bench.device), store, source="world")
    given = {"model": "tiny", "data": str(store), "out": str(run), "device": bench.device.type}
    recipe = resolve_settings(given)
    batch, steps = recipe.batch_size * times, recipe.steps
    if bench.small:
        batch, steps = batch // 16, WARM_UP + 1
    summary = train(resolve_settings(given | {"batch_size": batch, "steps": steps}), overwrite=True)
    history = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    rates = [metrics["pairs_per_second"] for metrics in history[WARM_UP:]]
    return {
        "pairs_per_second": rounded(statistics.median(rates)),
        "batch": batch,
        "steps": steps,
        "training_seconds": rounded(summary.seconds),
        **memory(),
        **first_and_later(history),
    }


def training_cells(bench: Bench, family: str) -> Iterator[Cell]:
    """The cells of a family by name, what matters most first."""

    def ours(mode: str, micro: int | str, **given: Any) -> Found:
        return ddecli_cell(bench.settings(family, mode, micro, **given))

    def script(mode: str, micro: int, encoding: bool = False, **given: Any) -> Found:
        settings = bench.settings(family, mode, micro, loss="uniform", **given)
        return script_cell(settings, bench.device, encoding)

    def resume(mode: str, micro: int) -> Found:
        given = {"steps": RESUME_STEPS, "checkpoint_every": CHECKPOINT}
        return resume_cell(bench.settings(family, mode, micro, **given), bench.scratch)

    def repeat(mode: str, micro: int, deterministic: bool) -> Found:
        return repeat_cell(bench.settings(family, mode, micro), deterministic)

    middle, large_first = bench.micro_batches[-2], bench.micro_batches[::-1]
    low_memory = {"gradient_checkpointing": True}
    for mode in MODES:
        for micro in large_first:
            yield f"{family}/{mode}/dde/micro-{micro}", partial(ours, mode, micro)
            yield f"{family}/{mode}/script/micro-{micro}", partial(script, mode, micro)
        yield f"{family}/{mode}/dde/micro-auto", partial(ours, mode, "auto", batch_size=8 * bench.batch)
        yield f"{family}/{mode}/uniform/micro-{middle}", partial(ours, mode, middle, loss="uniform")
    for mode in [{"sd15": "full", "sdxl": "lora"}[family]] if bench.small else MODES:
        yield f"{family}/{mode}/dde/resume", partial(resume, mode, middle)
    for mode in MODES:
        for micro in large_first:
            yield f"{family}/{mode}/dde/micro-{micro}/checkpointing", partial(ours, mode, micro, **low_memory)
        name = f"{family}/{mode}/script/micro-{middle}"
        yield f"{name}/checkpointing", partial(script, mode, middle, **low_memory)
        yield f"{name}/encoding", partial(script, mode, middle, True)
    yield f"{family}/full/dde/repeat", partial(repeat, "full", middle, False)
    yield f"{family}/full/dde/repeat/deterministic", partial(repeat, "full", middle, True)
    for mode in MODES:
        yield f"{family}/{mode}/dde/micro-{middle}/compile", partial(ours, mode, middle, compile=True)


def cells_of(bench: Bench, part: str) -> Iterator[Cell]:
    """The cells of a part by name."""
    if part in UNETS:
        yield from training_cells(bench, part)
    elif part == "sampling":
        for dtype in (torch.float16, torch.bfloat16):
            for batch in (1, 2) if bench.small else (1, 8, 32):
                name = str(dtype).removeprefix("torch.")
                yield f"sampling/{name}/batch-{batch}", partial(sampling_cell, bench, dtype, batch)
    else:
        for times in (1, 16):
            yield f"tiny/dde/{times}-times-the-batch", partial(tiny_cell, bench, times)


def measure(bench: Bench, options: argparse.Namespace, results: Results) -> None:
    """All cells that are asked for, one after the other."""
    began = time.monotonic()
    for part in options.only or PARTS:
        for name, work in cells_of(bench, part):
            if options.cells not in name or (bench.small and "compile" in name and not options.cells):
                continue
            if time.monotonic() - began > 60 * options.minutes:
                results.run["not_made_for_lack_of_time"].append(name)
                continue
            free()
            start = time.monotonic()
            try:
                found = work()
            except Exception as error:
                found = what_went_wrong(error)
            results.run["seconds"] = rounded(time.monotonic() - began)
            results.add(name, found | {"cell_seconds": rounded(time.monotonic() - start)})
    results.write()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--small", action="store_true", help="small models on the processor; not the compiled cells"
    )
    parser.add_argument("--only", choices=PARTS, nargs="+", help="these parts; default: all")
    parser.add_argument("--cells", default="", metavar="TEXT", help="only cells with this in their name")
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin no cell after so many minutes")
    parser.add_argument("--out", type=Path, help="default: benchmarks/results/gpu-<device>.json")
    parser.add_argument("--commit", help="what is measured, where there is no git checkout to ask")
    options = parser.parse_args()
    diffusers_logging.set_verbosity_error()
    transformers_logging.set_verbosity_error()
    if not options.small and not torch.cuda.is_available():
        parser.error("torch sees no GPU here; --small tests this script without one")
    device = torch.device("cpu") if options.small else torch.device("cuda", 0)
    with tempfile.TemporaryDirectory(prefix="gpu-benchmark-") as scratch:
        bench = Bench(Path(scratch), device, options.small)
        name = f"gpu-{device_facts(device)['name'].lower().replace(' ', '-')}.json"
        folder = Path(tempfile.gettempdir() if options.small else Path(__file__).parent / "results")
        about = {"pairs_a_step": bench.batch, "lora_rank": RANK}
        results = Results(options.out or folder / name, device, options.commit, **about)
        measure(bench, options, results)
    print(f"{results.path}: {len(results.run['failed'])} cells failed in this run")
    sys.exit(1 if results.run["failed"] else 0)


if __name__ == "__main__":
    main()
