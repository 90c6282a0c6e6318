"""The plan of a pair store: what decides its content, whose which part is, what is refused, the disk it takes."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ddecli.core.errors import NotPermitted, UserError
from ddecli.core.files import sha256_text
from ddecli.core.manifest import versions
from ddecli.core.sealed import read_sealed
from ddecli.core.text import bytes_in_words
from ddecli.data.parts import Encoder
from ddecli.data.shards import PREPARE_AGAIN
from ddecli.data.sources.base import Source
from ddecli.data.splits import TRAIN
from ddecli.data.store import FORMAT_VERSION, MANIFEST
from ddecli.data.work import WorkFolder


@dataclass(frozen=True)
class StorePlan:
    """One process's view of a pair store. `shard` is (I, N): its share of the parts, and how many there are."""

    source: Source
    encoder: Encoder
    out: Path
    limit: int | None
    shard: tuple[int, int]

    @property
    def alone(self) -> bool:
        """Whether no other process shares the work."""
        return self.shard[1] == 1

    @cached_property
    def work(self) -> WorkFolder:
        """Where finished parts lie."""
        return WorkFolder(self.out)

    @cached_property
    def content(self) -> dict[str, Any]:
        """Everything that decides the store's content (its latents up to rounding)."""
        encoder, model = self.encoder, self.encoder.model
        return self._own | {
            "source": self.source.name,
            "layout": self.source.layout,
            "parts": [[part.name, part.rows] for part in self.source.parts],
            "limit": self.limit,
            "model": [model.fingerprint, model.resolution],
            "autoencoder_dtype": str(model.pipeline.vae.dtype).removeprefix("torch."),
            "dtype": str(encoder.dtype).removeprefix("torch."),
            "prompts": encoder.split.as_dict(),
            "relabel": encoder.relabel.card if encoder.relabel else None,
        }

    @property
    def _own(self) -> dict[str, Any]:
        """What some sources are."""
        winners_only = {"winners_only": True} if self.source.winners_only else {}
        return winners_only | ({"drawn": dict(self.source.drawn)} if self.source.drawn else {})

    @property
    def of_pairs(self) -> tuple[str, ...]:
        """Columns that the pairs have besides those that all stores have: see `parts.MORE`."""
        gap = ("margin",) if self.encoder.relabel else ()
        return (*gap, "chosen_noise", "rejected_noise") if self.source.drawn else gap

    @cached_property
    def inputs_sha256(self) -> str:
        """Names the content and that of the parts: a store of the same name need not be made again."""
        parts = [part.identity for part in self.source.parts]
        return sha256_text(json.dumps([self.content, parts], sort_keys=True))

    def manifest_entries(self) -> dict[str, Any]:
        """What the manifests of all splits say."""
        model, content = self.encoder.model, self.content
        return self._own | {
            "format": FORMAT_VERSION,
            "source": content["source"],
            "layout": content["layout"],
            "inputs_sha256": self.inputs_sha256,
            "model": {"name": model.name, "fingerprint": model.fingerprint, "resolution": model.resolution},
            "latent_shape": list(model.latent_shape),
            "dtype": content["dtype"],
            "autoencoder_dtype": content["autoencoder_dtype"],
            "prompts": content["prompts"],
            "relabel": content["relabel"],
            "versions": versions(),
        }

    @property
    def parts(self) -> range:
        """Numbers of all parts."""
        return range(len(self.source.parts))

    @property
    def own(self) -> range:
        """Numbers of the parts that this process does."""
        return self.parts[self.shard[0] - 1 :: self.shard[1]]

    def needed(self) -> Iterator[int]:
        """Numbers of the parts that make the store, up to the first that is not there."""
        taken = 0
        for number in self.parts:
            if self.limit is not None and taken >= self.limit:
                return
            yield number
            if not self.work.is_whole(number):
                return
            taken += self.work.about(number)["taken"]

    @property
    def is_encoded(self) -> bool:
        """Whether every part that is needed is there."""
        needed = list(self.needed())
        return bool(needed) and all(map(self.work.is_whole, needed))

    def rows(self, numbers: range) -> int | None:
        """Rows of some parts; None if that is not known."""
        counts = [self.source.parts[number].rows for number in numbers]
        rows = sum(count for count in counts if count is not None)
        if None in counts:
            if self.source.rows is None:
                return self.limit
            rows = self.source.rows * len(numbers) // len(self.parts)
        return rows if self.limit is None else min(rows, self.limit)

    def output(self, split: str) -> Path:
        """The store of a split."""
        return self.out if split == TRAIN else self.out.with_name(f"{self.out.name}-holdout")

    def is_published(self, split: str = TRAIN) -> bool:
        """Whether the store of a split is there, made from the same plan."""
        manifest = self.output(split) / MANIFEST
        if not manifest.is_file():
            return False
        try:
            return read_sealed(manifest, PREPARE_AGAIN).get("inputs_sha256") == self.inputs_sha256
        except NotPermitted:
            raise
        except UserError:  # a damaged store is none, and --overwrite may replace it
            return False

    def check_outputs(self, overwrite: bool) -> None:
        """Refuse outputs that are taken, but not those that a stopped process of this plan renamed already."""
        for split in self.encoder.split.names:
            if not self.work.is_joined or (self.work.path / split).exists():
                check_output(self.output(split), overwrite)

    def check_contents(self) -> None:
        """Refuse finished parts of data that have been replaced since; later parts may rest on what they hold.

        Raises:
            UserError: names the first of them.
        """
        for number, part in enumerate(self.source.parts):
            if self.work.is_whole(number) and self.work.about(number)["content"] != part.identity:
                raise UserError(
                    f"{part.name} has changed since {self.work.part(number)} was made from it: put back what it was, "
                    f"or remove {self.work.path} to begin again."
                )

    def disk_needed(self) -> str:
        """One sentence on the disk that the whole store will take."""
        encoder = self.encoder
        picture = math.prod(encoder.model.latent_shape) * encoder.dtype.itemsize
        prompt = sum(value.numel() for value in encoder.empty.values()) * encoder.dtype.itemsize
        free = f"{bytes_in_words(shutil.disk_usage(self.work.path).free)} are free"
        rows = self.rows(self.parts)
        if rows is None:
            return f"Disk: {bytes_in_words(picture)} a picture and {bytes_in_words(prompt)} a distinct prompt; {free}."
        what, pictures = ("pictures", rows) if self.source.winners_only else ("pairs", 2 * rows)
        return (
            f"Disk for {rows:,} {what}: at most {bytes_in_words(pictures * picture)} for {pictures:,} pictures of "
            f"{bytes_in_words(picture)}, and {bytes_in_words(prompt)} a distinct prompt "
            f"({bytes_in_words(rows * prompt)} if all differ); {free}."
        )


def check_output(folder: Path, overwrite: bool) -> None:
    """Refuse an output that holds something, unless it is a pair store that may be overwritten.

    Raises:
        UserError: with the way out.
    """
    refuse_other_content(folder)
    if (folder / MANIFEST).is_file() and not overwrite:
        raise UserError(
            f"{folder} exists already, with other data or settings (or made by an earlier version): give --overwrite "
            "to replace it, or choose another --out."
        )


def refuse_other_content(folder: Path) -> None:
    """Refuse a place for a pair store where anything else lies.

    Raises:
        UserError: with the way out.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not (folder / MANIFEST).is_file():
        raise UserError(
            f"{folder} exists and is no pair store (it has no {MANIFEST}): choose another --out, or remove it if it is "
            "what was left of one."
        )
