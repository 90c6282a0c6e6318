"""A pair store of self-play: winners of another store, and for each a loser that a model draws for the same prompt.

SPIN-Diffusion (Yuan et al. 2024, arXiv 2402.10210), approximate objective: of the opponent's picture its clean latent
alone is kept, and noised anew in training. It is never decoded.
"""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ddecli.core.console import progress
from ddecli.core.digests import file_entry
from ddecli.core.errors import UserError
from ddecli.core.files import atomic_file, atomic_folder, sha256_file
from ddecli.core.manifest import versions
from ddecli.core.protocol import prompt_id
from ddecli.core.sealed import read_sealed, write_sealed
from ddecli.core.seeds import numpy_rng
from ddecli.core.world import SMALL_PIXELS
from ddecli.data.join import IMAGES, PAIRS, PROMPTS
from ddecli.data.shards import EMBEDDINGS, LATENTS, ShardWriter
from ddecli.data.store import FORMAT_VERSION, MANIFEST, PairStore, work_folder
from ddecli.data.tables import TableWriter
from ddecli.models.base import DiffusionModel
from ddecli.sampling.folder import ImageTask
from ddecli.sampling.generate import generate_latents, prepare_sampler, weights_sha256
from ddecli.sampling.samplers import Sampler, sampler_of

PLAN, LAYOUT = "plan.json", "winners of a store, losers of a model"
AT_ONCE = 1024
"""Rows that are copied at a time."""


@dataclass(frozen=True)
class Opponent:
    """Who draws the losers, and with which noise.

    seed, iteration: of the self-play; the noise of a loser is a function of both, its prompt, and its number among
        those of the prompt. No image of `ddecli sample` starts from the same noise, whatever its seed.
    pairs: how many pairs are made.
    batch_size: losers drawn together; None takes what suits the model.
    """

    seed: int
    iteration: int
    pairs: int
    batch_size: int | None = None

    @property
    def noise(self) -> str:
        """What stands for the seed of a sample."""
        return f"self-play {self.seed}, iteration {self.iteration}"


class SelfPlayStore:
    """The pair store of one iteration, in the making or made.

    What was drawn lies in `OUT.parts`, a file a batch. Batches are cut at the same places whatever is there already and
    whoever draws them, so a store that was stopped, or shared, is the same store.
    """

    def __init__(self, winners: PairStore, model: DiffusionModel, opponent: Opponent, out: Path) -> None:
        """Plan it.

        Args:
            winners: the store whose winners are taken.
            model: the opponent, as it is sampled.
        """
        self.winners, self.model, self.opponent, self.out = winners, model, opponent, out
        self.sampler = sampler_of(model)
        self.rows = _winners(winners, opponent)
        self.plan = _plan(winners, model, opponent, self.sampler)
        self.work = work_folder(out)

    def is_made(self) -> bool:
        """Whether the store is there.

        Raises:
            UserError: something else lies there.
        """
        if not self.out.exists():
            return False
        manifest = self.out / MANIFEST
        found = read_sealed(manifest, f"remove {self.out}") if manifest.is_file() else {}
        if "self_play" not in found:
            raise UserError(f"{self.out} is no pair store of self-play: remove it, or choose another --out.")
        return bool(found["self_play"] == self.plan)

    def begin(self) -> None:
        """Begin in the folder of what is drawn, or go on if it is of the same plan."""
        file, plan = self.work / PLAN, self.plan | {"batch_size": self._batch_size}
        if file.is_file() and read_sealed(file, f"remove {self.work}") == plan:
            return
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir(parents=True)
        write_sealed(file, plan)

    def draw(self, share: tuple[int, int] = (1, 1)) -> None:
        """Draw the losers, or the i-th of n shares (i, n) of them.

        Raises:
            UserError: a latent is not finite, or memory ran out.
        """
        prepare_sampler(self.model, self.sampler)
        tasks = _tasks(self.winners, self.rows)
        mine = self._starts[share[0] - 1 :: share[1]]
        with progress("losers", total=len(mine), unit="batches") as advance:
            for start in mine:
                file = self._file(start)
                if not file.is_file():
                    batch = tasks[start : start + self._batch_size]
                    latents = generate_latents(
                        self.model,
                        batch,
                        self.opponent.noise,
                        self.sampler.steps,
                        self.sampler.guidance_scale,
                    )
                    with atomic_file(file, durable=False) as temporary:
                        save_file({"latents": latents.contiguous()}, temporary)
                advance(1)

    def join(self) -> None:
        """Make the store of all that was drawn; one of another plan that lies there is replaced."""
        if self.out.exists():
            shutil.rmtree(self.out)
        with atomic_folder(self.out) as folder:
            _join(self.winners, self.rows, list(map(self._file, self._starts)), self.plan, folder)
        shutil.rmtree(self.work, ignore_errors=True)

    @property
    def _batch_size(self) -> int:
        return self.opponent.batch_size or (64 if self.model.resolution <= SMALL_PIXELS else 8)

    @property
    def _starts(self) -> list[int]:
        return list(range(0, len(self.rows), self._batch_size))

    def _file(self, start: int) -> Path:
        return self.work / f"{start:09d}.safetensors"


def _plan(winners: PairStore, model: DiffusionModel, opponent: Opponent, sampler: Sampler) -> dict[str, Any]:
    """All that decides the store."""
    own = asdict(opponent)
    own.pop("batch_size")  # rounding only
    return own | {
        "winners_sha256": sha256_file(winners.folder / MANIFEST),
        "unet_sha256": weights_sha256(model.unet),
        "precision": str(model.unet.dtype).removeprefix("torch."),
        "sampler": sampler.name,
        "steps": sampler.steps,
        "spacing": sampler.spacing,
        "guidance_scale": sampler.guidance_scale,
    }


def _winners(store: PairStore, opponent: Opponent) -> Tensor:
    """Rows of the store, (N,) long, in the order of the new one: every winner of a prompt once, drawn at random."""
    keys = torch.stack([store.prompt_index, store.chosen_index], dim=1)
    _, inverse = keys.unique(dim=0, return_inverse=True)
    first = torch.full((int(inverse.max()) + 1,), len(store)).scatter_reduce(
        0, inverse, torch.arange(len(store)), "amin"
    )
    order = numpy_rng("self-play", opponent.seed, opponent.iteration).permutation(len(first))
    return first.sort().values[torch.from_numpy(order[: opponent.pairs])]


def _tasks(store: PairStore, rows: Tensor) -> list[ImageTask]:
    """A loser of each row, numbered within its prompt."""
    numbers: Counter[int] = Counter()
    tasks = []
    for prompt in store.prompt_index[rows].tolist():
        text = store.prompt(prompt)
        tasks.append(ImageTask(text, prompt_id(text), numbers[prompt]))
        numbers[prompt] += 1
    return tasks


def _join(winners: PairStore, rows: Tensor, files: list[Path], plan: dict[str, Any], folder: Path) -> None:
    """Write the store: latents and sizes of the winners, then of the losers; the prompts that they have."""
    chosen, chosen_at = winners.chosen_index[rows].unique(return_inverse=True)
    empty = torch.tensor([winners.empty_prompt_index])
    prompts, prompt_at = torch.cat([empty, winners.prompt_index[rows]]).unique(return_inverse=True)
    dtype = getattr(torch, winners.manifest["dtype"])
    latents, embeddings = ShardWriter(folder, LATENTS, dtype), ShardWriter(folder, EMBEDDINGS, dtype)
    images = TableWriter(folder / "images.parquet", IMAGES)
    for some in chosen.split(AT_ONCE):
        latents.append({"latents": winners.latents(some)})
        for index, (height, width, top, left, *_) in zip(
            some.tolist(), winners.sizes(some).tolist(), strict=True
        ):
            images.add(winners.image_sha256(index), width, height, top, left)
    whole = winners.target_sizes(1)[0].tolist()
    for loser in _losers(files):
        latents.append({"latents": loser[None]})
        images.add(hashlib.sha256(loser.numpy().tobytes()).hexdigest(), whole[1], whole[0], 0, 0)
    texts = TableWriter(folder / "prompts.parquet", PROMPTS)
    for some in prompts.split(AT_ONCE):
        embeddings.append(winners.conditioning(some))
        for index in some.tolist():
            texts.add(winners.prompt(index))
    pairs = TableWriter(folder / "pairs.parquet", PAIRS)
    for number, row in enumerate(rows.tolist()):
        loser_at = len(chosen) + number
        where = (int(prompt_at[number + 1]), int(chosen_at[number]), loser_at)
        pairs.add(winners.pair(row).pair_id, *where, f"self-play, iteration {plan['iteration']}")
    for writer in (latents, embeddings, images, texts, pairs):
        writer.close()
    kept = ("model", "latent_shape", "dtype", "autoencoder_dtype", "prompts")
    entries = {name: winners.manifest[name] for name in kept if name in winners.manifest}
    made = {
        "format": FORMAT_VERSION,
        "source": f"self-play on {winners.manifest['source']}",
        "layout": LAYOUT,
        "self_play": plan,
        "versions": versions(),
        "counts": {"pairs": pairs.count, "images": images.count, "prompts": texts.count},
        "empty_prompt_index": int(prompt_at[0]),
        "conditioning": embeddings.shapes,
        "shard_rows": {LATENTS: latents.shard_rows, EMBEDDINGS: embeddings.shard_rows},
        "files": {file.name: file_entry(file) for file in sorted(folder.iterdir())},
    }
    write_sealed(folder / MANIFEST, entries | made)


def _losers(files: list[Path]) -> Iterator[Tensor]:
    for file in files:
        yield from load_file(file)["latents"]
