"""How costs grow with what there is: pairs in the store, pairs a step, pictures to score."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image
from speed_turns import Rates, in_turns, rounded
from torch.nn import functional
from transformers import AutoTokenizer, CLIPImageProcessorPil, CLIPModel

from ddecli.core.digests import file_entry
from ddecli.core.sealed import write_sealed
from ddecli.data.join import IMAGES, PROMPTS, pair_columns
from ddecli.data.shards import EMBEDDINGS, LATENTS, ShardWriter
from ddecli.data.store import MANIFEST, PairStore, read_manifest
from ddecli.scoring.published import scorer_source
from ddecli.scoring.score import Scorers, ScoringSettings, score_images
from ddecli.scoring.sources import read_source
from ddecli.tinyworld.drawing import draw
from ddecli.tinyworld.scenes import random_scene
from ddecli.training.record import Brake
from ddecli.training.settings import resolve_settings
from ddecli.training.trainer import Trainer

PAIRS = (100, 1_000, 10_000, 100_000, 1_000_000)
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128)
PICTURES = (10, 100, 1_000)
MOST_ROWS = 200_000
"""Distinct pictures, and distinct prompts, of a synthetic store; one of more pairs shows them again."""
BATCH, ROWS_AT_ONCE = 32, 8_192


def synthetic_store(like: Path, folder: Path, pairs: int) -> Path:
    """A store of so many pairs of random numbers for the model of another store; two pictures of a pair differ."""
    folder.mkdir()
    manifest, rng = read_manifest(like), np.random.default_rng(0)
    generator = torch.Generator().manual_seed(0)
    rows = {LATENTS: min(2 * pairs, MOST_ROWS), EMBEDDINGS: min(pairs // 3 + 1, MOST_ROWS)}
    shapes = {LATENTS: {"latents": manifest["latent_shape"]}, EMBEDDINGS: manifest["conditioning"]}
    shard_rows = {}
    for stem, total in rows.items():
        writer = ShardWriter(folder, stem, torch.float16)
        for start in range(0, total, ROWS_AT_ONCE):
            some = min(ROWS_AT_ONCE, total - start)
            writer.append(
                {key: torch.randn(some, *shape, generator=generator) for key, shape in shapes[stem].items()}
            )
        writer.close()
        shard_rows[stem] = writer.shard_rows
    images, prompts = rows[LATENTS], rows[EMBEDDINGS]
    chosen = rng.integers(images, size=pairs)
    side = manifest["model"]["resolution"]
    columns = {
        "pairs": (pair_columns(), {
            "pair_id": [f"random:{number}" for number in range(pairs)], "prompt": rng.integers(prompts, size=pairs),
            "chosen": chosen, "rejected": (chosen + 1) % images, "source": ["random"] * pairs,
        }),
        "images": (IMAGES, {
            "sha256": [f"{number:064x}" for number in range(images)], "width": [side] * images,
            "height": [side] * images, "crop_top": [0] * images, "crop_left": [0] * images,
        }),
        "prompts": (PROMPTS, {"text": ["", *(f"prompt {number}" for number in range(1, prompts))]}),
    }  # fmt: skip
    for name, (schema, values) in columns.items():
        arrays = [pa.array(values[field.name]).cast(field.type) for field in schema]
        pq.write_table(pa.table(arrays, schema=schema), folder / f"{name}.parquet")
    files = {file.name: file_entry(file) for file in sorted(folder.iterdir())}
    changed = {
        "source": "random",
        "counts": {"pairs": pairs, "images": images, "prompts": prompts},
        "shard_rows": shard_rows,
        "empty_prompt_index": 0,
        "files": files,
    }
    write_sealed(folder / MANIFEST, manifest | changed)
    return folder


def _trainer(store: Path, batch: int, steps: int) -> Trainer:
    given = {"model": "tiny", "data": str(store), "loss": "uniform", "lr": 1e-9, "device": "cpu"}
    sizes = {"batch_size": batch, "micro_batch_size": batch, "steps": steps, "reference": "compute"}
    return Trainer(resolve_settings(given | sizes))


def _stepper(trainer: Trainer, brake: Brake) -> Callable[[], object]:
    numbers = count()
    return lambda: trainer.step(next(numbers), brake)


def with_pairs(like: Path, scratch: Path, rounds: int) -> Rates:
    """Opening, reading and a step, by the pairs of the store."""
    found: Rates = {}
    brake = Brake(scratch, 4.0)
    readers, steppers = {}, {}
    for pairs in PAIRS:
        store = synthetic_store(like, scratch / f"pairs-{pairs}", pairs)
        seconds = []
        for _ in range(2):  # all files are read at first, and then their digests are known to the machine
            began = time.process_time()
            PairStore.open(store)
            seconds.append(rounded(time.process_time() - began))
        found[str(pairs)] = dict(zip(("open_seconds", "open_again_seconds"), seconds, strict=True))
        trainer = _trainer(store, BATCH, rounds + 1)
        batches = (range(start, start + BATCH) for start in count(0, BATCH))
        readers[str(pairs)] = partial(
            lambda trainer, batches: trainer.batches(next(batches)), trainer, batches
        )
        steppers[str(pairs)] = _stepper(trainer, brake)
    rates = {
        "read_pairs_per_second": in_turns(readers, BATCH, rounds),
        "step_pairs_per_second": in_turns(steppers, BATCH, rounds),
    }
    for name, each in rates.items():
        for pairs_there, rate in each.items():
            found[pairs_there][name] = rate["median"]
    return found


def with_batch(store: Path, rounds: int) -> Rates:
    """Pairs/s of a step by its pairs, all of them one micro-batch."""
    brake = Brake(store, 4.0)
    found: Rates = {}
    steppers = {batch: _stepper(_trainer(store, batch, rounds + 1), brake) for batch in BATCHES}
    for batch, rates in _rates_of_turns(steppers, rounds).items():
        found[str(batch)] = {"pairs_per_second": rounded(batch * rates["median"])}
    return found


def _rates_of_turns(works: dict[int, Callable[[], object]], rounds: int) -> dict[int, dict[str, float]]:
    rates = in_turns({str(size): work for size, work in works.items()}, 1, rounds)
    return {int(size): rate for size, rate in rates.items()}


class PlainScorer:
    """CLIP in transformers, in float32: pictures and prompts in batches, then the cosine."""

    def __init__(self) -> None:
        folder = scorer_source("clip", "tiny").location
        self.model = CLIPModel.from_pretrained(folder, dtype=torch.float32).eval()
        self.processor, self.tokenizer = (
            CLIPImageProcessorPil.from_pretrained(folder),
            AutoTokenizer.from_pretrained(folder),
        )

    @torch.inference_mode()
    def __call__(self, files: list[Path], prompt: str) -> list[float]:
        words = self.tokenizer([prompt], return_tensors="pt")
        text = functional.normalize(self.model.get_text_features(**words).pooler_output, dim=-1)
        scores: list[float] = []
        for start in range(0, len(files), BATCH):
            pictures = [Image.open(file).convert("RGB") for file in files[start : start + BATCH]]
            pixels = self.processor(pictures, return_tensors="pt").pixel_values
            image = functional.normalize(
                self.model.get_image_features(pixel_values=pixels).pooler_output, dim=-1
            )
            scores += (image @ text.T).squeeze(1).tolist()
        return scores


def with_pictures(scratch: Path, rounds: int) -> Rates:
    """Pictures/s of scoring with CLIP, the scorer at hand, beside a plain loop that does the same."""
    folder, rng = scratch / "scored", np.random.default_rng(0)
    folder.mkdir()
    files = []
    for number in range(max(PICTURES)):
        files.append(folder / f"{number:04d}.png")
        Image.fromarray(draw(random_scene(rng))).save(files[-1])
    prompt, plain, scorers = "a red circle", PlainScorer(), Scorers("cpu")
    settings = ScoringSettings(("clip",), "tiny", batch_size=BATCH)
    found: Rates = {}
    for pictures in PICTURES:
        some = files[:pictures]
        works = {
            "ddecli": lambda some=some: score_images(read_source(some, prompt), settings, None, scorers),
            "plain_loop": lambda some=some: plain(some, prompt),
        }
        found[str(pictures)] = {
            name: rate["median"] for name, rate in in_turns(works, pictures, rounds).items()
        }
    return found
