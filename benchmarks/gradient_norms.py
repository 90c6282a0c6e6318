"""How large the gradient of a pair's margin D(t) is by timestep, and what the losses' factors before it come to then.

Run as: python benchmarks/gradient_norms.py --out benchmarks/results/gradient-norms-tiny.json

A mean of the factors alone takes it that D(t) pulls equally at every timestep. Here each timestep counts by the norm
of the gradient of D(t) with respect to the U-Net's weights, pair by pair, before any training.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
from pathlib import Path

import numpy as np
import torch

from ddecli.core.files import write_json
from ddecli.core.manifest import versions
from ddecli.data.draws import Draws
from ddecli.data.prepare import prepare
from ddecli.data.store import PairStore
from ddecli.models.base import DiffusionModel
from ddecli.models.load import load_model
from ddecli.tinyworld.pairs import world_pairs
from ddecli.training.batches import Batches
from ddecli.training.errors import errors_by_row

VOTES = 200
BINS = 10


def gradient_norms(model: DiffusionModel, store: PairStore, draws: int) -> tuple[np.ndarray, np.ndarray]:
    """Timesteps and norms `(draws,)` of single pairs."""
    count = model.schedule.num_timesteps
    shape = store.latents(torch.tensor([0])).shape[1:]
    batches = Batches(store, Draws(len(store), 0, lambda u: (u * count).long(), shape, 0.0), model.device)
    parameters = list(model.unet.requires_grad_(True).parameters())
    timesteps, norms = np.empty(draws, dtype=int), np.empty(draws)
    for draw in range(draws):
        batch = batches(range(draw, draw + 1))
        chosen, rejected = errors_by_row(model.with_errors_of("noise"), batch, contextlib.nullcontext())
        gradients = torch.autograd.grad(chosen - rejected, parameters, allow_unused=True)
        timesteps[draw] = int(batch.t[0])
        norms[draw] = sum(float(each.square().sum()) for each in gradients if each is not None) ** 0.5
    return timesteps, norms


def main() -> None:
    """Measure, print, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--draws", type=int, default=2048)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    model = load_model(arguments.model)
    with tempfile.TemporaryDirectory() as folder:
        pairs = Path(folder) / "pairs"
        prepare(world_pairs(VOTES), model, pairs, source="world")
        t, norms = gradient_norms(model, PairStore.open(pairs), arguments.draws)
    schedule = model.schedule
    factors = {
        "c_t": schedule.single_shot_weights.numpy(),
        "t lambda_t": np.arange(1, schedule.num_timesteps + 1) * schedule.step_weights.numpy(),
    }
    bins = t * BINS // schedule.num_timesteps
    record = {
        "command": f"python benchmarks/gradient_norms.py --model {arguments.model} --draws {arguments.draws}",
        "versions": versions(),
        "norm_by_tenth": [float(norms[bins == tenth].mean()) for tenth in range(BINS)],
        "mean": {name: float(values.mean()) for name, values in factors.items()},
        "mean_by_norm": {name: float(values[t] @ norms / norms.sum()) for name, values in factors.items()},
    }
    for name, value in record.items():
        print(f"{name}: {value}")
    if arguments.out:
        write_json(arguments.out, record)


if __name__ == "__main__":
    main()
