"""Speed of the hot paths, each beside what a user would run instead, in one process on the same pairs.

Run as: OMP_NUM_THREADS=1 python benchmarks/speed.py --out benchmarks/results/speed-cpu.json

Processor time, one thread; what is compared takes turns, round after round, and the median is told with the smallest
and the largest:

* training: a step of `Trainer` from a pair store, which asks the reference (the first run of a table) or finds its
  errors kept (every later run with that seed); and a step as the public Diffusion-DPO script does it (decode both
  pictures, autoencoder, text encoder, two U-Nets), with its whole batch at once, with latents and text states cached,
  and one pair at a time;
* reading: from the pair store, and by decoding and encoding;
* preparing: `prepare`, and a plain loop that encodes each picture and prompt once and saves what it made;
* sampling: in batches over prompts, a stock pipeline with the same batches, and one pipeline call a prompt; all of
  them save their images, and `sample` draws a contact sheet;
* starting: processor time of whole commands that have next to nothing to do, beside `import torch`;
* growth: with pairs in the store, with pairs a step, and with pictures to score (beside a plain loop in transformers).
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from itertools import count, islice
from pathlib import Path
from typing import Any

import diffusers
import speed_growth
import torch
import transformers
from diffusers import DDIMScheduler, StableDiffusionPipeline
from safetensors.torch import save_file
from speed_script import ScriptStep
from speed_starting import starting
from speed_turns import Rates, in_turns

from ddecli.core.files import write_json
from ddecli.core.manifest import machine, versions
from ddecli.data.pairs import Pair
from ddecli.data.prepare import prepare
from ddecli.models.load import load_for_sampling, load_model
from ddecli.sampling.generate import SamplingSettings, sample_images
from ddecli.sampling.prompts import make_prompt_set
from ddecli.tinyworld.pairs import world_pairs
from ddecli.tinyworld.prompts import world_prompts
from ddecli.training.record import Brake
from ddecli.training.run_folder import with_model, with_pairs
from ddecli.training.settings import resolve_settings
from ddecli.training.trainer import Trainer

BATCH, ROUNDS, ROWS = 32, 9, 400
STEPS, GUIDANCE = 15, 5.0
PARTS = ("training", "preparing", "sampling", "starting", "pairs", "batch", "pictures")


def training(store: Path, pairs: list[Pair], rounds: int) -> Rates:
    """Pairs/s of training and of reading."""
    given = {
        "model": "tiny",
        "data": str(store),
        "batch_size": BATCH,
        "loss": "uniform",
        "device": "cpu",
        "lr": 1e-9,
    }
    settings = with_model(with_pairs(resolve_settings(given | {"steps": rounds + 1})), resume=False)
    brake = Brake(store, settings.max_winner_error)
    before = Trainer(settings)
    for step in range(settings.steps):
        before.step(step, brake)
    assert before.kept is not None
    before.kept.keep()
    first, later = Trainer(settings.model_copy(update={"reference": "compute"})), Trainer(settings)
    assert later.reference is None
    steps = {name: iter(range(settings.steps)) for name in ("first", "later")}
    whole, cached, one = ScriptStep(pairs, BATCH), ScriptStep(pairs, BATCH, cached=True), ScriptStep(pairs, 1)
    return in_turns(
        {
            "train_ddecli_first_run": lambda: first.step(next(steps["first"]), brake),
            "train_ddecli_later_run": lambda: later.step(next(steps["later"]), brake),
            "train_script": whole,
            "train_script_cached_latents": cached,
            "train_script_one_pair_at_a_time": one,
        },
        BATCH,
        rounds,
    ) | in_turns(
        {
            "read_ddecli": lambda: first.batches(range(BATCH)),
            "read_decode_and_encode": lambda: whole.load(pairs),
        },
        BATCH,
        rounds,
    )


def preparing(scratch: Path, rounds: int) -> Rates:
    """Pairs/s of making a pair store."""
    model, script = load_model("tiny"), ScriptStep([], BATCH)
    pairs = list(world_pairs(ROWS))

    def loop() -> None:
        files = list(dict.fromkeys(file for pair in pairs for file in (pair.chosen, pair.rejected)))
        prompts = list(dict.fromkeys(pair.prompt for pair in pairs))
        latents = [script.encode(files[start : start + BATCH]) for start in range(0, len(files), BATCH)]
        states = [script.states(prompts[start : start + BATCH]) for start in range(0, len(prompts), BATCH)]
        tensors = {"latents": torch.cat(latents).contiguous(), "states": torch.cat(states)}
        save_file(tensors, scratch / "plain.safetensors")  # or it would have to be done again
        picture, prompt = ({each: row for row, each in enumerate(some)} for some in (files, prompts))
        rows = [(prompt[pair.prompt], picture[pair.chosen], picture[pair.rejected]) for pair in pairs]
        (scratch / "plain.json").write_text(json.dumps(rows))

    works = {
        "prepare_ddecli": lambda: prepare(
            iter(pairs), model, scratch / "made", source="pairs", overwrite=True
        ),
        "prepare_plain_loop": loop,
    }
    return in_turns(works, ROWS, rounds)


def sampling(scratch: Path, rounds: int) -> Rates:
    """Images/s of sampling four images for each of eight prompts."""
    model = load_for_sampling("tiny")
    stock = StableDiffusionPipeline.from_pretrained(model.folder, torch_dtype=torch.float32)
    stock.scheduler = DDIMScheduler.from_config(stock.scheduler.config, clip_sample=False)
    stock.set_progress_bar_config(disable=True)
    prompts = make_prompt_set("world:validation", world_prompts("validation"), 8)
    settings, folders = SamplingSettings(images_per_prompt=4), count()  # an equal sample would be kept
    asked_of_stock = {"num_inference_steps": STEPS, "guidance_scale": GUIDANCE, "height": 32, "width": 32}

    def saved(asked: str | list[str]) -> None:
        for image in stock(asked, num_images_per_prompt=4, **asked_of_stock).images:
            image.save(scratch / f"{next(folders)}.png")

    def a_call_a_prompt() -> None:
        for prompt in prompts.prompts:
            saved(prompt)

    works = {
        "sample_ddecli": lambda: sample_images(model, prompts, settings, scratch / f"images-{next(folders)}"),
        "sample_pipeline_in_one_batch": lambda: saved(list(prompts.prompts)),
        "sample_pipeline_call_a_prompt": a_call_a_prompt,
    }
    return in_turns(works, 32, rounds)


def measured(parts: Sequence[str], rounds: int) -> Iterator[tuple[str, Rates]]:
    """What is asked for, part by part."""
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        store = scratch / "pairs"
        prepare(world_pairs(ROWS), load_model("tiny"), store, source="world")
        works: dict[str, Callable[[], Rates]] = {
            "training": lambda: training(store, list(islice(world_pairs(ROWS), BATCH)), rounds),
            "preparing": lambda: preparing(scratch, rounds),
            "sampling": lambda: sampling(scratch, rounds),
            "starting": lambda: starting(scratch, store, rounds),
            "pairs": lambda: speed_growth.with_pairs(store, scratch, rounds),
            "batch": lambda: speed_growth.with_batch(store, rounds),
            "pictures": lambda: speed_growth.with_pictures(scratch, rounds),
        }
        for part in parts:
            yield part, works[part]()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/speed-cpu.json"))
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--only", choices=PARTS, nargs="+", default=PARTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for library in (transformers.utils.logging, diffusers.utils.logging):
        library.set_verbosity_error()  # as commands have it
    asked = "" if tuple(options.only) == PARTS else f"--only {' '.join(options.only)} "
    words = f"{asked}--rounds {options.rounds} --out {options.out}"
    found: dict[str, Any] = {
        "command": f"OMP_NUM_THREADS=1 python benchmarks/speed.py {words}",
        "unit": {
            "training, preparing": "pairs a second of processor time",
            "sampling": "images a second of processor time",
            "starting": "seconds of processor time",
            "pairs": "by pairs in the store: seconds, and pairs a second, of processor time",
            "batch": "by pairs a step: pairs a second of processor time",
            "pictures": "by pictures scored: pictures a second of processor time",
        },
        "batch_size": BATCH,
        "rounds": options.rounds,
        "machine": machine(),
        "versions": versions(),
        "measured": {},
    }
    for part, rates in measured(options.only, options.rounds):
        found["measured"][part] = rates
        write_json(options.out, found)
        for name, each in rates.items():
            print(f"{part:10} {name:34} {each}", flush=True)


if __name__ == "__main__":
    main()
