"""The pair store: what `ddecli prepare` writes and training reads.

    manifest.json                        format, model, source, counts, dropped rows, versions, files
    pairs.parquet                        pair_id, prompt, chosen, rejected (indices), source; margin if relabelled
    images.parquet                       sha256, width, height, crop_top, crop_left
    prompts.parquet                      text
    latents-NNNNN.safetensors            latents (N, C, H, W)
    prompt-embeddings-NNNNN.safetensors  one tensor (N, ...) a conditioning key
    bad-rows.jsonl                       rows that could not be used, if any

Every distinct picture and every distinct prompt is stored once; the empty prompt is always there.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from ddecli.core.errors import UserError
from ddecli.core.files import read_json, sha256_file
from ddecli.data.shards import AGAIN, EMBEDDINGS, LATENTS, ShardReader

FORMAT_VERSION = 2
"""Format 1 had shards of equal length; it is still read."""
MANIFEST = "manifest.json"
BAD_ROWS = "bad-rows.jsonl"


@dataclass(frozen=True)
class StoredPair:
    """One row of the store, in words."""

    pair_id: str
    prompt: str
    chosen_sha256: str
    rejected_sha256: str
    source: str
    margin: float | None = None  # score of chosen minus rejected, where a scorer decided


class PairStore:
    """Cached latents and text embeddings of preference pairs, memory-mapped."""

    def __init__(self, folder: Path, manifest: dict[str, Any]) -> None:
        """Read the indices and map the tensors; use `PairStore.open`."""
        self.folder = folder
        self.manifest = manifest
        self._pairs = _read_table(folder / "pairs.parquet")
        self._images = _read_table(folder / "images.parquet")
        self._prompts = _read_table(folder / "prompts.parquet")
        self.prompt_index = _column(self._pairs, "prompt")
        self.chosen_index = _column(self._pairs, "chosen")
        self.rejected_index = _column(self._pairs, "rejected")
        self.empty_prompt_index: int = manifest["empty_prompt_index"]
        self.latent_shape: tuple[int, ...] = tuple(manifest["latent_shape"])
        resolution = torch.full((len(self._images),), manifest["model"]["resolution"])
        sizes = [_column(self._images, name) for name in ("height", "width", "crop_top", "crop_left")]
        self._sizes = torch.stack([*sizes, resolution, resolution], dim=1)
        counts, shard_rows = manifest["counts"], _shard_rows(manifest)
        found = {"pairs": len(self._pairs), "images": len(self._images), "prompts": len(self._prompts)}
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
    def open(cls, folder: Path, model_fingerprint: str | None = None, verify: bool = False) -> PairStore:
        """Open a store and check that it is whole (sizes of its files) and fits the model.

        Args:
            folder: the store.
            model_fingerprint: `DiffusionModel.fingerprint` of the model to be trained; None: any model.
            verify: also compare every file's SHA-256 (reads the whole store).

        Raises:
            UserError: no store, another format version, another model, or a damaged file.
        """
        folder = Path(folder)
        if not (folder / MANIFEST).is_file():
            raise UserError(
                f"{folder} is no pair store (no {MANIFEST}). Make one with ddecli prepare and give its folder."
            )
        manifest = read_json(folder / MANIFEST)
        version = manifest.get("format") if isinstance(manifest, dict) else None
        if version not in (1, FORMAT_VERSION):
            raise UserError(
                f"{folder} is a pair store of format {version}, this version reads format {FORMAT_VERSION}. "
                + AGAIN
            )
        try:
            model = manifest["model"]
            if model_fingerprint is not None and model["fingerprint"] != model_fingerprint:
                raise UserError(
                    f"{folder} was prepared for another model ({model['name']}): its latents or text "
                    "embeddings do not fit. Run ddecli prepare with the model that is trained."
                )
            _check_files(folder, manifest["files"], verify)
            return cls(folder, manifest)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise UserError(f"{folder / MANIFEST} is damaged ({error!r}). {AGAIN}") from error

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
        """SDXL's size conditioning: (n,) long -> (n, 6) long.

        Columns: original height and width, crop's top and left in the resized picture, target height and
        width, all in pixels (Podell et al. 2023, section 2.2).
        """
        return self._sizes[image_indices]

    def prompt(self, index: int) -> str:
        """Text of a prompt."""
        return self._prompts["text"][index].as_py()

    def pair(self, index: int) -> StoredPair:
        """What is known of pair `index`."""
        row = {name: self._pairs[name][index].as_py() for name in self._pairs.column_names}
        hashes = self._images["sha256"]
        return StoredPair(
            pair_id=row["pair_id"],
            prompt=self.prompt(row["prompt"]),
            chosen_sha256=hashes[row["chosen"]].as_py(),
            rejected_sha256=hashes[row["rejected"]].as_py(),
            source=row["source"],
            margin=row.get("margin"),
        )


def _shard_rows(manifest: dict[str, Any]) -> dict[str, list[int]]:
    """Rows of each shard, by kind."""
    if manifest["format"] == FORMAT_VERSION:
        return manifest["shard_rows"]
    counts, full = manifest["counts"], manifest["rows_per_shard"]
    totals = {LATENTS: counts["images"], EMBEDDINGS: counts["prompts"]}
    return {
        kind: [min(full[kind], total - start) for start in range(0, total, full[kind])]
        for kind, total in totals.items()
    }


def _check_files(folder: Path, files: dict[str, dict[str, Any]], verify: bool) -> None:
    for name, expected in files.items():
        path = folder / name
        size = path.stat().st_size if path.is_file() else None
        if size != expected["bytes"]:
            seen = "is missing" if size is None else f"has {size} bytes, not {expected['bytes']}"
            raise UserError(f"{path} {seen}: the store is damaged. {AGAIN}")
        if verify and sha256_file(path) != expected["sha256"]:
            raise UserError(f"{path} has changed since it was written. {AGAIN}")


def _read_table(path: Path) -> pa.Table:
    try:
        return pq.read_table(path, memory_map=True)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path} is missing or damaged ({error}). {AGAIN}") from error


def _column(table: pa.Table, name: str) -> Tensor:
    return torch.from_numpy(table[name].to_numpy().astype("int64"))
