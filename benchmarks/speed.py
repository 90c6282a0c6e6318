"""Speed of the hot paths, each beside what a user would run instead, in one process on the same pairs.

Run as: python benchmarks/speed.py --out benchmarks/results/speed-cpu.json

* training: pairs/s of `Trainer.step` from a pair store, and of a step as the public Diffusion-DPO script does it
  (decode both pictures, autoencoder, text encoder, two U-Nets, one pair a micro-batch or all of them at once);
* reading: pairs/s from the pair store, and by decoding and encoding;
* sampling: images/s in batches over prompts, and one pipeline call a prompt.
"""

from __future__ import annotations

import argparse
import copy
import io
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

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
from ddecli.training.settings import resolve_settings
from ddecli.training.trainer import Trainer

BATCH = 16


def seconds(work: Callable[[], object], repeats: int = 3) -> float:
    """The fastest of a few runs, after one to warm up."""
    work()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)


class ScriptStep:
    """A training step as the public scripts do it: nothing cached, a second U-Net, gradients accumulated."""

    def __init__(self, pairs: list[Pair], micro_batch: int) -> None:
        self.pipeline = load_for_sampling("tiny").pipeline
        self.reference = copy.deepcopy(self.pipeline.unet).requires_grad_(False)
        self.optimizer = torch.optim.AdamW(self.pipeline.unet.parameters(), lr=1e-5)
        self.pairs, self.micro_batch = pairs, micro_batch

    @torch.no_grad()
    def load(self, pairs: list[Pair]) -> tuple[torch.Tensor, torch.Tensor]:
        """Decode and encode pairs: latents (2n, C, H, W) and text states (2n, L, E)."""
        files = [pair.chosen for pair in pairs] + [pair.rejected for pair in pairs]
        arrays = [np.asarray(Image.open(io.BytesIO(file)).convert("RGB")) for file in files]
        pixels = torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).float() / 127.5 - 1
        vae = self.pipeline.vae
        latents = vae.encode(pixels).latent_dist.sample() * vae.config.scaling_factor
        words = self.pipeline.tokenizer(
            [pair.prompt for pair in pairs], padding="max_length", truncation=True, return_tensors="pt"
        )
        return latents, self.pipeline.text_encoder(words.input_ids)[0].repeat(2, 1, 1)

    def __call__(self) -> None:
        unet, scheduler = self.pipeline.unet, self.pipeline.scheduler
        for start in range(0, len(self.pairs), self.micro_batch):
            latents, states = self.load(self.pairs[start : start + self.micro_batch])
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


def training(store: Path, pairs: list[Pair]) -> dict[str, float]:
    """Pairs/s of training and of reading."""
    settings = resolve_settings(
        {"model": "tiny", "data": str(store), "batch_size": BATCH, "loss": "uniform", "device": "cpu"}
    )
    trainer = Trainer(settings)
    alarm = Alarm(store, settings.max_winner_error)
    one, whole = ScriptStep(pairs, 1), ScriptStep(pairs, BATCH)
    return {
        "train_ddecli": BATCH / seconds(lambda: trainer.step(0, alarm)),
        "train_script_whole_batch": BATCH / seconds(whole),
        "train_script_one_pair_at_a_time": BATCH / seconds(one),
        "read_ddecli": BATCH / seconds(lambda: trainer.batches(range(BATCH))),
        "read_decode_and_encode": BATCH / seconds(lambda: whole.load(pairs)),
    }


def sampling(scratch: Path) -> dict[str, float]:
    """Images/s of sampling four images for each of eight prompts."""
    model = load_for_sampling("tiny")
    prompts = make_prompt_set("world:validation", world_prompts("validation"), 8)
    settings = SamplingSettings(images_per_prompt=4, overwrite=True)

    def a_call_a_prompt() -> None:
        for prompt in prompts.prompts:
            model.pipeline(
                prompt,
                num_images_per_prompt=4,
                num_inference_steps=15,
                guidance_scale=2.0,
                height=32,
                width=32,
            )

    ours = seconds(lambda: sample_images(model, prompts, settings, scratch / "images"))
    return {"sample_ddecli": 32 / ours, "sample_call_a_prompt": 32 / seconds(a_call_a_prompt)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/speed-cpu.json"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        store = Path(scratch) / "pairs"
        prepare(world_pairs(200), load_model("tiny"), store, source="world")
        found = training(store, list(islice(world_pairs(200), BATCH))) | sampling(Path(scratch))
    rates = {name: round(value, 2) for name, value in found.items()}
    write_json(
        options.out,
        {
            "command": f"python benchmarks/speed.py --out {options.out}",
            "unit": "pairs/s (train, read), images/s (sample)",
            "batch": BATCH,
            "rates": rates,
            "machine": machine(),
            "versions": versions(),
        },
    )
    print(rates)


if __name__ == "__main__":
    main()
