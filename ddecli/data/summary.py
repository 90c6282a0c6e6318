"""What `ddecli prepare` tells of a store, or of a share of one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ddecli.data.shards import EMBEDDINGS, LATENTS
from ddecli.data.store import read_manifest


@dataclass(frozen=True)
class PrepareSummary:
    """What was prepared. `complete` is false while other processes have parts to do."""

    out: str
    rows: int
    pairs: int
    images: int
    prompts: int  # with the empty one
    dropped: dict[str, int]  # rows by reason
    notes: dict[str, int]  # of rows that were taken, what is to be known of them
    upscaled_images: int  # shorter side smaller than the model's resolution
    long_prompts: int  # longer than the text encoder takes: what is beyond is not seen by the model
    holdout: str | None  # store of the held-out pairs, if there is one
    holdout_pairs: int
    complete: bool
    bytes: int
    seconds: float
    left_out: dict[str, int] = field(
        default_factory=dict
    )  # files of the data that are no pictures, by ending
    winners_only: bool = False  # the pairs are pictures with captions


def rows_of(about: dict[str, Any]) -> int:
    """Rows of a finished part (its `part.json`): its pairs and what was dropped."""
    return sum(split["pairs"] for split in about["splits"].values()) + sum(about["dropped"].values())


def notes_of(abouts: Sequence[dict[str, Any]]) -> dict[str, int]:
    """What is noted of the rows of finished parts, those of earlier versions aside."""
    return dict(sum((Counter(about.get("notes", {})) for about in abouts), Counter[str]()))


def of_stores(out: Path, holdout: Path | None, seconds: float) -> PrepareSummary:
    """Summary of a store, and of its held-out pairs if there are any."""
    stores = [out] if holdout is None else [out, holdout]
    manifests = [read_manifest(store) for store in stores]
    manifest, counts = manifests[0], manifests[0]["counts"]
    return PrepareSummary(
        out=str(out),
        rows=manifest["rows"],
        pairs=counts["pairs"],
        images=counts["images"],
        prompts=counts["prompts"],
        dropped=dict(sum((Counter(each["dropped"]) for each in manifests), Counter[str]())),
        notes=manifest.get("notes", {}),  # stores of earlier versions have none
        upscaled_images=manifest["upscaled_images"],
        long_prompts=manifest["long_prompts"],
        holdout=str(holdout) if holdout else None,
        holdout_pairs=sum(each["counts"]["pairs"] for each in manifests[1:]),
        complete=True,
        bytes=sum(file.stat().st_size for store in stores for file in store.iterdir()),
        seconds=seconds,
        winners_only=manifest.get("winners_only", False),
    )


def of_share(out: Path, abouts: Sequence[dict[str, Any]], seconds: float) -> PrepareSummary:
    """Summary of some finished parts, held-out pairs among them; duplicates show when they are joined."""
    splits = [split for about in abouts for split in about["splits"].values()]
    return PrepareSummary(
        out=str(out),
        rows=sum(map(rows_of, abouts)),
        pairs=sum(split["pairs"] for split in splits),
        images=sum(sum(split["shard_rows"][LATENTS]) for split in splits),
        prompts=sum(sum(split["shard_rows"][EMBEDDINGS]) for split in splits),
        dropped=dict(sum((Counter(about["dropped"]) for about in abouts), Counter[str]())),
        notes=notes_of(abouts),
        upscaled_images=0,
        long_prompts=0,
        holdout=None,
        holdout_pairs=0,
        complete=False,
        bytes=sum(file["bytes"] for about in abouts for file in about["files"].values()),
        seconds=seconds,
    )
