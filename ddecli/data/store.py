"""The pair store: what `ddecli prepare` writes and training reads.

    manifest.json                        format, model, source, counts, dropped rows, versions, files
    pairs.parquet                        pair_id, prompt, chosen, rejected (indices), source; margin if relabelled;
                                         chosen_noise, rejected_noise of a sample's images: what a CPU generator is
                                         seeded with (torch.manual_seed) to draw the noise (C, H, W) they began as;
                                         strength, the probability that chosen is preferred, where the data have it;
                                         of pictures with captions (manifest: winners_only) there is no rejected
    images.parquet                       sha256, width, height, crop_top, crop_left
    prompts.parquet                      text
    latents-NNNNN.safetensors            latents (N, C, H, W)
    prompt-embeddings-NNNNN.safetensors  one tensor (N, ...) a conditioning key
    bad-rows.jsonl                       rows that could not be used, if any

Every distinct picture and every distinct prompt is stored once; the empty prompt is always there.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from pydantic import BaseModel, NonNegativeInt, PositiveInt
from torch import Tensor

from ddecli.core.digests import check_files
from ddecli.core.errors import UserError
from ddecli.core.parsing import check_shape
from ddecli.core.paths import readable_file
from ddecli.core.sealed import read_sealed
from ddecli.data.shards import AGAIN, EMBEDDINGS, LATENTS, PREPARE_AGAIN, ShardReader

FORMAT_VERSION = 2
MANIFEST = "manifest.json"
BAD_ROWS = "bad-rows.jsonl"


class _OfModel(BaseModel):
    name: str
    fingerprint: str
    resolution: PositiveInt


class _OfFile(BaseModel):
    bytes: NonNegativeInt
    sha256: str


class _Manifest(BaseModel):
    """What of a manifest is needed to read the store."""

    source: str
    model: _OfModel
    counts: dict[str, NonNegativeInt]
    shard_rows: dict[str, list[NonNegativeInt]]
    empty_prompt_index: NonNegativeInt
    latent_shape: list[PositiveInt]
    files: dict[str, _OfFile]


@dataclass(frozen=True)
class StoredPair:
    """One row of the store, in words."""

    pair_id: str
    prompt: str
    chosen_sha256: str
    rejected_sha256: str | None  # None of a picture with a caption
    source: str
    score_gap: float | None = None  # score of chosen minus rejected, or lead in votes, where scorers decided
    noise: tuple[int, int] | None = (
        None  # seeds of the noise that chosen and rejected were drawn from, if known
    )
    strength: float | None = None  # probability that chosen is preferred, if known


class PairStore:
    """Cached latents and text embeddings of preference pairs, memory-mapped.

    Of the tables only the numbers are in memory: some 24 bytes a pair and 16 a picture. The texts are read when
    the first pair is asked for in words, which training never does.
    """

    def __init__(self, folder: Path, manifest: dict[str, Any]) -> None:
        """Read the indices and map the tensors; use `PairStore.open`."""
        self.folder = folder
        self.manifest = manifest
        sides = ["chosen"] if manifest.get("winners_only") else ["chosen", "rejected"]
        pairs = _read_table(folder / "pairs.parquet", ["prompt", *sides])
        images = _read_table(folder / "images.parquet", ["height", "width", "crop_top", "crop_left"])
        prompts = _read_table(folder / "prompts.parquet", [])
        self.prompt_index, self.chosen_index = (_tensor(pairs[name]).long() for name in ("prompt", "chosen"))
        self.rejected_index = _tensor(pairs["rejected"]).long() if "rejected" in sides else None
        self.empty_prompt_index: int = manifest["empty_prompt_index"]
        self.latent_shape: tuple[int, ...] = tuple(manifest["latent_shape"])
        self._resolution: int = manifest["model"]["resolution"]
        self._sizes = torch.stack([_tensor(column) for column in images.columns], dim=1)
        counts, shard_rows = manifest["counts"], manifest["shard_rows"]
        found = {"pairs": len(pairs), "images": len(images), "prompts": len(prompts)}
        if counts != found:
            raise UserError(f"{folder / MANIFEST} counts {counts}, the tables hold {found}. {AGAIN}")
        if {kind: sum(rows) for kind, rows in shard_rows.items()} != {
            LATENTS: counts["images"],
            EMBEDDINGS: counts["prompts"],
        }:
            raise UserError(f"{folder / MANIFEST} counts {counts}, its shards do not. {AGAIN}")
        self._latents = ShardReader(folder, LATENTS, shard_rows[LATENTS])
        self._embeddings = ShardReader(folder, EMBEDDINGS, shard_rows[EMBEDDINGS])

    @classmethod
    def open(cls, folder: Path, fingerprints: Collection[str] | None = None) -> PairStore:
        """Open a store and check that it fits the model, and that its files are those that were written.

        For that all are read, the big ones once a machine.

        Args:
            folder: the store.
            fingerprints: `DiffusionModel.fingerprints` of the model to be trained; None: any model.

        Raises:
            UserError: no store, another format version, another model, or a damaged file.
        """
        folder = Path(folder)
        if not (folder / MANIFEST).is_file():
            if work_folder(folder).is_dir():
                raise UserError(
                    f"{folder} is not finished: ddecli prepare was stopped, and goes on when it is run again with the "
                    f"same options (what it finished lies in {work_folder(folder)})."
                )
            raise UserError(
                f"{folder} is no pair store (no {MANIFEST}). Make one with ddecli prepare and give its folder."
            )
        manifest = read_manifest(folder)
        model = manifest["model"]
        if fingerprints is not None and model["fingerprint"] not in fingerprints:
            raise UserError(
                f"{folder} was prepared for another model ({model['name']}): its latents or text "
                "embeddings do not fit. Run ddecli prepare with the model that is trained."
            )
        check_files(folder, manifest["files"], f"the store is damaged, {PREPARE_AGAIN}")
        return cls(folder, manifest)

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self.prompt_index)

    def latents(self, image_indices: Tensor) -> Tensor:
        """Latents of pictures: (n,) long -> (n, C, H, W) float32, scaled as the U-Net takes them."""
        return self._latents(image_indices)["latents"]

    def conditioning(self, prompt_indices: Tensor) -> dict[str, Tensor]:
        """Text embeddings of prompts: (n,) long -> what `encode_prompts` gave, each (n, ...) float32."""
        return self._embeddings(prompt_indices)

    def sizes(self, image_indices: Tensor) -> Tensor:
        """SDXL's size conditioning by each picture's own size: (n,) long -> (n, 6) long.

        Columns: original height and width, crop's top and left in the resized picture, target height and
        width, all in pixels (Podell et al. 2023, section 2.2).
        """
        own = self._sizes[image_indices].long()
        return torch.cat([own, torch.full((len(own), 2), self._resolution)], dim=1)

    def target_sizes(self, count: int) -> Tensor:
        """The same of whole pictures of the model's resolution, as sampling asks for: (count, 6) long."""
        return torch.tensor([self._resolution, self._resolution, 0, 0] + [self._resolution] * 2).repeat(
            count, 1
        )

    @cached_property
    def strengths(self) -> Tensor | None:
        """Probability of each pair that its chosen picture is preferred, (pairs,) float32 in 0.5..1.

        1 where the data do not say; None where they say it of no pair.
        """
        file = self.folder / "pairs.parquet"
        if "strength" not in pq.read_schema(file).names:
            return None
        column = pc.fill_null(_read_table(file, ["strength"])["strength"], 1.0)
        return torch.from_numpy(column.to_numpy().copy())

    @cached_property
    def noise_seeds(self) -> Tensor | None:
        """Seeds of the noise that both pictures of each pair were drawn from, (pairs, 2) long; None if not known."""
        file, names = self.folder / "pairs.parquet", ["chosen_noise", "rejected_noise"]
        if not set(names) <= set(pq.read_schema(file).names):
            return None
        table = _read_table(file, names)
        if any(column.null_count for column in table.columns):
            return None
        return torch.stack([_tensor(column) for column in table.columns], dim=1)

    @cached_property
    def _prompt_texts(self) -> pa.ChunkedArray:
        return _read_table(self.folder / "prompts.parquet", ["text"])["text"]

    @cached_property
    def _image_hashes(self) -> pa.ChunkedArray:
        return _read_table(self.folder / "images.parquet", ["sha256"])["sha256"]

    @cached_property
    def _pairs(self) -> pa.Table:
        return _read_table(self.folder / "pairs.parquet")

    def prompt(self, index: int) -> str:
        """Text of a prompt."""
        return self._prompt_texts[index].as_py()

    def image_sha256(self, index: int) -> str:
        """SHA-256 of a picture's file."""
        return str(self._image_hashes[index].as_py())

    def pair(self, index: int) -> StoredPair:
        """What is known of pair `index`."""
        row = {name: self._pairs[name][index].as_py() for name in self._pairs.column_names}
        return StoredPair(
            pair_id=row["pair_id"],
            prompt=self.prompt(row["prompt"]),
            chosen_sha256=self.image_sha256(row["chosen"]),
            rejected_sha256=self.image_sha256(row["rejected"]) if "rejected" in row else None,
            source=row["source"],
            score_gap=row.get("margin"),
            noise=(row["chosen_noise"], row["rejected_noise"]) if "chosen_noise" in row else None,
            strength=row.get("strength"),
        )


def read_manifest(folder: Path) -> dict[str, Any]:
    """What a store's manifest says.

    Raises:
        UserError: it is missing, damaged, or of another format version.
    """
    manifest = read_sealed(folder / MANIFEST, PREPARE_AGAIN)
    if manifest.get("format") != FORMAT_VERSION:
        raise UserError(
            f"{folder} is a pair store of format {manifest.get('format')}, this version reads format "
            f"{FORMAT_VERSION}. {AGAIN}"
        )
    try:
        check_shape(manifest, _Manifest)
        if not {"pairs.parquet", "images.parquet", "prompts.parquet"} <= set(manifest["files"]):
            raise ValueError("a table is not among its files")
        if set(manifest["shard_rows"]) != {LATENTS, EMBEDDINGS}:
            raise ValueError("the shards are not those of latents and embeddings")
        if manifest["empty_prompt_index"] >= manifest["counts"].get("prompts", 0):
            raise ValueError("the empty prompt is not among its prompts")
    except ValueError as error:
        raise UserError(f"{folder / MANIFEST} is damaged ({error}). {AGAIN}") from error
    return manifest


def work_folder(out: Path) -> Path:
    """Where finished parts of a store lie while it is made."""
    return out.with_name(f"{out.name}.parts")


def _read_table(path: Path, columns: list[str] | None = None) -> pa.Table:
    """Some columns of a table, or all of them; its number of rows with none."""
    try:
        return pq.read_table(readable_file(path), columns=columns, memory_map=True)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path} is missing or damaged ({error}). {AGAIN}") from error


def _tensor(column: pa.ChunkedArray) -> Tensor:
    """A column of whole numbers, in memory of its own."""
    return torch.from_numpy(column.to_numpy().copy())
