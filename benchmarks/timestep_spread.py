"""What spreading timesteps evenly over a batch could save: the part of a pair's variance that lies between timesteps.

Run as: python benchmarks/timestep_spread.py --policy runs/tiny-dde --out benchmarks/results/timestep-spread-tiny.json

Timesteps that are drawn one by one add to the variance of a batch's mean what lies between the conditional means of
loss and gradient at different timesteps; a spread of them, however even, leaves the variance within a timestep.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
from pathlib import Path

import torch
from torch import Tensor

from ddecli.core.files import write_json
from ddecli.core.manifest import versions
from ddecli.data.draws import Draws
from ddecli.data.prepare import prepare
from ddecli.data.store import PairStore
from ddecli.models.base import DiffusionModel
from ddecli.models.load import load_model
from ddecli.objectives.registry import build_objective
from ddecli.tinyworld.pairs import world_pairs
from ddecli.training.batches import Batches
from ddecli.training.errors import pair_errors
from ddecli.training.settings import resolve_settings

VOTES = 1500
STRATA = 20
LOSSES = ("uniform", "dde", "dde-step")


class Between:
    """Share of a vector's variance that lies between strata, from means over batches within them."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.means: list[Tensor] = []
        self.within: list[float] = []

    def add(self, batches: list[Tensor]) -> None:
        """One stratum: the mean vectors `(n,)` of its batches of `size` pairs."""
        stacked = torch.stack(batches)
        mean = stacked.mean(0)
        self.means.append(mean)
        self.within.append(float((stacked - mean).square().sum()) / (len(batches) - 1) / len(batches))

    def share(self) -> float:
        """Without bias, so below 0 at times where it is nothing; 0 of what does not vary, as a loss before training."""
        means = torch.stack(self.means)
        raw = float((means - means.mean(0)).square().sum()) / (len(means) - 1)
        noise = sum(self.within) / len(self.within)  # of a stratum's mean
        between = raw - noise
        return between / (between + noise * self.size) if noise else 0.0


def shares(
    policy: DiffusionModel, reference: DiffusionModel, store: PairStore, batches: int, size: int
) -> dict[str, dict[str, float]]:
    """By loss, the share between `STRATA` parts of the trajectory in the variance of the loss and its gradient.

    Args:
        batches: in each stratum, all of different pairs.
        size: pairs in a batch.
    """
    T = policy.schedule.num_timesteps
    parameters = list(policy.unet.requires_grad_(True).parameters())
    betas = {loss: resolve_settings({"model": "tiny", "loss": loss}).beta for loss in LOSSES}
    objectives = {loss: build_objective(loss, policy.schedule, beta) for loss, beta in betas.items()}
    found = {(loss, of): Between(size) for loss in LOSSES for of in ("loss", "gradient")}
    for stratum in range(STRATA):
        seen: dict[tuple[str, str], list[Tensor]] = {key: [] for key in found}
        draws = Draws(
            len(store),
            0,
            lambda u, stratum=stratum: ((u + stratum) / STRATA * T).long(),  # type: ignore[misc]
            store.latent_shape,
            0.0,
        )
        read = Batches(store, draws, policy.device)
        for number in range(stratum * batches, (stratum + 1) * batches):
            errors = pair_errors(
                policy, reference, read(range(number * size, (number + 1) * size)), contextlib.nullcontext()
            )
            for loss, objective in objectives.items():
                mean = objective(errors).loss.mean()
                parts = torch.autograd.grad(mean, parameters, retain_graph=True, allow_unused=True)
                seen[loss, "loss"].append(mean.detach().double().view(1))
                seen[loss, "gradient"].append(
                    torch.cat([part.flatten() for part in parts if part is not None])
                )
        for key, vectors in seen.items():
            found[key].add(vectors)
    return {loss: {of: found[loss, of].share() for of in ("loss", "gradient")} for loss in LOSSES}


def main() -> None:
    """Measure, print, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--policy", required=True, help="a run from tiny; tiny itself is measured beside it")
    parser.add_argument("--batches", type=int, default=12)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    reference = load_model("tiny")
    with tempfile.TemporaryDirectory() as folder:
        prepare(world_pairs(VOTES), reference, Path(folder) / "pairs", source="world")
        store = PairStore.open(Path(folder) / "pairs")
        found = {
            when: shares(load_model(policy), reference, store, arguments.batches, arguments.batch_size)
            for when, policy in (("before training", "tiny"), ("after", arguments.policy))
        }
    record = {
        "command": f"python benchmarks/timestep_spread.py --policy {Path(arguments.policy).name} "
        f"--batches {arguments.batches} --batch-size {arguments.batch_size}",
        "versions": versions(),
        "share_between_timesteps": found,
    }
    for when, values in found.items():
        print(when, values)
    if arguments.out:
        write_json(arguments.out, record)


if __name__ == "__main__":
    main()
