"""Speed of the hot paths, each beside what a user would run instead, in one process on the same pairs.

Run as: OMP_NUM_THREADS=1 python benchmarks/speed.py --out benchmarks/results/speed-cpu.json

Processor time, one thread; what is compared takes turns, round after round, and the median is told with the smallest
and the largest:

* training: a step of `Trainer` from a pair store, which asks the reference (the first run of a table) or finds its
  errors kept (every later run with that seed); and a step as the public Diffusion-DPO script does it (decode both
  pictures, autoencoder, text encoder, two U-Nets), with its whole batch at once, with latents and text states cached,
  and one pair at a time;
* reading: from the pair store, and by decoding and encoding;
* preparing: `prepare`, and a plain loop that encodes each picture and prompt once;
* sampling: in batches over prompts, a stock pipeline with the same batches, and one pipeline call a prompt; all of
  them save their images;
* starting: processor time of whole commands that have next to nothing to do, beside `import torch`.
"""

from __future__ import annotations

import argparse
import copy
import io
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from ddecli.core.files import write_json
from ddecli.core.manifest import machine, versions
from ddecli.data.pairs import Pair
from ddecli.data.prepare import prepare
from ddecli.models.load import load_for_sampling, load_model
from ddecli.sampling.generate import SamplingSettings, sample_images
from ddecli.sampling.prompts import make_prompt_set
from ddecli.tinyworld.pairs import world_pairs
from ddecli.tinyworld.prompts import world_prompts
from ddecli.training.record import Alarm
from ddecli.training.run_folder import with_model, with_pairs
from ddecli.training.settings import resolve_settings
from ddecli.training.trainer import Trainer

BATCH, ROUNDS, ROWS = 32, 9, 400
STEPS, GUIDANCE = 15, 5.0
Rates = dict[str, dict[str, float]]


def in_turns(works: Mapping[str, Callable[[], object]], amount: float, rounds: int) -> Rates:
    """Rates of each, by processor time, after one round to warm up.

    Args:
        amount: what a call does, in the unit of the rate.
    """
    times: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds + 1):
        for name, work in works.items():
            began = time.process_time()
            work()
            if number:
                times[name].append(time.process_time() - began)
    return {
        name: {
            "median": round(amount / statistics.median(each), 2),
            "smallest": round(amount / max(each), 2),
            "largest": round(amount / min(each), 2),
        }
        for name, each in times.items()
    }


class ScriptStep:
    """A training step as the public scripts do it: a second U-Net, gradients accumulated, nothing kept.

    Args:
        cached: whether latents and text states are made once, before.
    """

    def __init__(self, pairs: list[Pair], micro_batch: int, cached: bool = False) -> None:
        self.pipeline = load_for_sampling("tiny").pipeline
        self.reference = copy.deepcopy(self.pipeline.unet).requires_grad_(False)
        self.optimizer = torch.optim.AdamW(self.pipeline.unet.parameters(), lr=1e-5)
        self.pairs, self.micro_batch = pairs, micro_batch
        starts = range(0, len(pairs), micro_batch)
        self.cached = (
            {start: self.load(pairs[start : start + micro_batch]) for start in starts} if cached else {}
        )

    @torch.no_grad()
    def load(self, pairs: list[Pair]) -> tuple[torch.Tensor, torch.Tensor]:
        """Decode and encode pairs: latents (2n, C, H, W) and text states (2n, L, E)."""
        files = [pair.chosen for pair in pairs] + [pair.rejected for pair in pairs]
        latents = self.encode(files)
        return latents, self.states([pair.prompt for pair in pairs]).repeat(2, 1, 1)

    @torch.no_grad()
    def encode(self, files: list[bytes]) -> torch.Tensor:
        """Latents of pictures, (n, C, H, W)."""
        arrays = [np.asarray(Image.open(io.BytesIO(file)).convert("RGB")) for file in files]
        pixels = torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).float() / 127.5 - 1
        vae = self.pipeline.vae
        return vae.encode(pixels).latent_dist.sample() * vae.config.scaling_factor

    @torch.no_grad()
    def states(self, prompts: list[str]) -> torch.Tensor:
        """Text states of prompts, (n, L, E)."""
        words = self.pipeline.tokenizer(prompts, padding="max_length", truncation=True, return_tensors="pt")
        return self.pipeline.text_encoder(words.input_ids)[0]

    def __call__(self) -> None:
        unet, scheduler = self.pipeline.unet, self.pipeline.scheduler
        for start in range(0, len(self.pairs), self.micro_batch):
            found = self.cached.get(start) or self.load(self.pairs[start : start + self.micro_batch])
            latents, states = found
            half = len(latents) // 2
            noise, t = (
                torch.randn_like(latents[:half]).repeat(2, 1, 1, 1),
                torch.randint(1000, (half,)).repeat(2),
            )
            noisy = scheduler.add_noise(latents, noise, t)
            errors = (unet(noisy, t, states).sample - noise).pow(2).mean((1, 2, 3))
            with torch.no_grad():
                base = (self.reference(noisy, t, states).sample - noise).pow(2).mean((1, 2, 3))
            margin = (errors[:half] - errors[half:]) - (base[:half] - base[half:])
            (-F.logsigmoid(-2500 * margin).sum() / len(self.pairs)).backward()
        torch.nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()


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
    alarm = Alarm(store, settings.max_winner_error)
    before = Trainer(settings)
    for step in range(settings.steps):
        before.step(step, alarm)
    assert before.kept is not None
    before.kept.keep()
    first, later = Trainer(settings.model_copy(update={"reference": "compute"})), Trainer(settings)
    assert later.reference is None
    steps = {name: iter(range(settings.steps)) for name in ("first", "later")}
    whole, cached, one = ScriptStep(pairs, BATCH), ScriptStep(pairs, BATCH, cached=True), ScriptStep(pairs, 1)
    return in_turns(
        {
            "train_ddecli_first_run": lambda: first.step(next(steps["first"]), alarm),
            "train_ddecli_later_run": lambda: later.step(next(steps["later"]), alarm),
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
        for start in range(0, len(files), BATCH):
            script.encode(files[start : start + BATCH])
        for start in range(0, len(prompts), BATCH):
            script.states(prompts[start : start + BATCH])

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
    prompts = make_prompt_set("world:validation", world_prompts("validation"), 8)
    settings, folders = SamplingSettings(images_per_prompt=4), count()  # an equal sample would be kept
    stock = {"num_inference_steps": STEPS, "guidance_scale": GUIDANCE, "height": 32, "width": 32}

    def saved(asked: str | list[str]) -> None:
        for image in model.pipeline(asked, num_images_per_prompt=4, **stock).images:
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


def starting(scratch: Path, rounds: int) -> Rates:
    """Seconds of processor time, user and system, of whole commands."""
    picture = scratch / "one.png"
    Image.new("RGB", (32, 32)).save(picture)
    ddecli = [sys.executable, "-m", "ddecli"]
    commands = {
        "import torch": [sys.executable, "-c", "import torch"],
        "--help": [*ddecli, "--help"],
        "train --help": [*ddecli, "train", "--help"],
        "train --dry-run": [*ddecli, "train", "--dry-run"],
        "score of what is not there": [*ddecli, "score", str(scratch / "nothere.png"), "--prompt", "a"],
        "score of one picture": [
            *ddecli,
            "score",
            str(picture),
            "--prompt",
            "a red circle",
            "--metric",
            "clip",
        ],
    }
    found: Rates = {}
    for name, command in commands.items():
        times = []
        for _ in range(max(3, rounds // 3)):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run(command, check=False, capture_output=True, cwd=scratch)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        found[name] = {"median": round(statistics.median(times), 3), "smallest": round(min(times), 3)}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/speed-cpu.json"))
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        scratch, rounds = Path(folder), options.rounds
        store = scratch / "pairs"
        prepare(world_pairs(ROWS), load_model("tiny"), store, source="world")
        rates = training(store, list(islice(world_pairs(ROWS), BATCH)), rounds)
        rates |= preparing(scratch, rounds) | sampling(scratch, rounds)
        seconds = starting(scratch, rounds)
    found: dict[str, Any] = {
        "command": f"OMP_NUM_THREADS=1 python benchmarks/speed.py --out {options.out}",
        "unit": "a second of processor time: pairs (train, read, prepare), images (sample)",
        "batch": BATCH,
        "rounds": rounds,
        "rates": rates,
        "seconds_of_commands": seconds,
        "machine": machine(),
        "versions": versions(),
    }
    write_json(options.out, found)
    for name, each in (rates | seconds).items():
        print(f"{name:34} {each}")


if __name__ == "__main__":
    main()
