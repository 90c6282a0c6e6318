"""From pairs to a pair store: every distinct picture and every distinct prompt is encoded once."""

from __future__ import annotations

import math
import time
from array import array
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from ddecli.core.console import progress
from ddecli.core.errors import BadRow, UserError
from ddecli.core.files import atomic_folder, sha256_file, write_json
from ddecli.core.manifest import versions
from ddecli.data.encoding import EncodedImages, EncodedPrompts
from ddecli.data.pairs import DUPLICATE, SAME_PICTURE, Pair, Rejects
from ddecli.data.pictures import Picture, read_picture
from ddecli.data.shards import EMBEDDINGS, LATENTS
from ddecli.data.store import BAD_ROWS, FORMAT_VERSION, MANIFEST

if TYPE_CHECKING:
    from ddecli.models.base import DiffusionModel

LOOK_AHEAD = 2
"""Chunks of pairs read and decoded in threads while one is encoded."""


@dataclass(frozen=True)
class PrepareSummary:
    """What `prepare` did."""

    out: str
    rows: int
    pairs: int
    images: int
    prompts: int  # with the empty one
    dropped: dict[str, int]  # rows by reason
    upscaled_images: int  # shorter side smaller than the model's resolution
    long_prompts: int  # longer than the text encoder takes: what is beyond is not seen by the model
    bytes: int
    seconds: float


def prepare(
    pairs: Iterable[Pair],
    model: DiffusionModel,
    out: Path,
    *,
    source: str,
    rejects: Rejects | None = None,
    total: int | None = None,
    limit: int | None = None,
    max_bad: float = 0.01,
    batch_size: int | None = None,
    dtype: torch.dtype | None = None,
    threads: int = 4,
    overwrite: bool = False,
) -> PrepareSummary:
    """Clean and encode pairs into a pair store at `out`, which appears whole or not at all.

    Args:
        pairs: read as they are needed; memory holds a few batches of pictures, never all.
        model: its autoencoder and text encoders are used.
        out: the store's folder.
        source: what the pairs are, for the manifest.
        rejects: the collector the pairs' source reports to.
        total: rows the pairs come from, if known (for the progress bar, and to stop early).
        limit: take only the first pairs.
        max_bad: largest share of bad rows (damaged or incomplete); ties and duplicates do not count.
        batch_size: pictures encoded together; default 64 up to 256 pixels, 16 at 512, 4 at 1024.
        dtype: of stored latents and embeddings; default float32 up to 1,024 numbers a latent, else float16.
        threads: threads that read and decode pictures.
        overwrite: replace a store that is already there.

    Raises:
        UserError: too many bad rows (they are listed beside `out`), no pair left, `out` taken or not
            writable, a damaged source, or too little memory on the device.
    """
    began = time.monotonic()
    out = Path(out)
    check_output(out, overwrite)
    rejects = rejects if rejects is not None else Rejects()
    batch_size = batch_size or max(1, min(64, 64 * 256**2 // model.resolution**2))
    dtype = dtype or (torch.float32 if math.prod(model.latent_shape) <= 1024 else torch.float16)

    with atomic_folder(out) as folder:
        images = EncodedImages(model, folder, dtype, batch_size)
        prompts = EncodedPrompts(model, folder, dtype, batch_size)
        rows = _PairRows()
        wanted = islice(pairs, limit)
        pairs_at_once = max(1, batch_size // 2)
        expected = min(total or 0, limit) if limit else total or 0
        with progress("Preparing pairs", expected, unit="pairs") as advance:
            done = 0
            for chunk in _read_ahead(wanted, pairs_at_once, model.resolution, images.known, threads):
                _add_chunk(chunk, images, prompts, rows, rejects)
                if total:
                    _check_bad_share(rejects, total, max_bad, out)
                handled = len(rows) + rejects.counts.total()
                advance(handled - done)
                done = handled
        _check_bad_share(rejects, len(rows) + rejects.counts.total(), max_bad, out)
        if not len(rows):
            raise UserError(f"{source} has no usable pair: {_reasons(rejects)}.")
        images.writer.close()
        prompts.writer.close()
        pq.write_table(rows.table(), folder / "pairs.parquet")
        pq.write_table(images.table(), folder / "images.parquet")
        pq.write_table(prompts.table(), folder / "prompts.parquet")
        if rejects.bad_rows:
            rejects.write(folder / BAD_ROWS)
        manifest = {
            "format": FORMAT_VERSION,
            "source": source,
            "model": {"name": model.name, "fingerprint": model.fingerprint, "resolution": model.resolution},
            "latent_shape": list(model.latent_shape),
            "dtype": str(dtype).removeprefix("torch."),
            "counts": {"pairs": len(rows), "images": images.writer.count, "prompts": prompts.writer.count},
            "dropped": dict(rejects.counts),
            "empty_prompt_index": prompts.known[""],
            "conditioning": prompts.writer.shapes,
            "rows_per_shard": {LATENTS: images.writer.rows, EMBEDDINGS: prompts.writer.rows},
            "versions": versions(),
            "files": _files(folder),
        }
        write_json(folder / MANIFEST, manifest)
    return PrepareSummary(
        out=str(out),
        rows=len(rows) + rejects.counts.total(),
        pairs=len(rows),
        images=images.writer.count,
        prompts=prompts.writer.count,
        dropped=dict(rejects.counts),
        upscaled_images=images.upscaled,
        long_prompts=prompts.long,
        bytes=sum(file.stat().st_size for file in out.iterdir()),
        seconds=time.monotonic() - began,
    )


def check_output(out: Path, overwrite: bool) -> None:
    """Refuse an `out` that holds something, unless it is a pair store that may be overwritten.

    Raises:
        UserError: with the way out.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not (out / MANIFEST).is_file():
        raise UserError(f"{out} exists and is no pair store; choose another --out.")
    if not overwrite:
        raise UserError(f"{out} exists already; give --overwrite to replace it, or choose another --out.")


class _PairRows:
    """The store's pairs, 32 bytes each and their names."""

    def __init__(self) -> None:
        self._indices = {name: array("q") for name in ("prompt", "chosen", "rejected")}
        self._ids: list[str] = []
        self._sources: list[str] = []
        self._seen: set[tuple[int, int, int]] = set()

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, pair: Pair, prompt: int, chosen: int, rejected: int) -> bool:
        """Add a pair; False if one of the same prompt, chosen and rejected picture is there already."""
        indices = (prompt, chosen, rejected)
        if indices in self._seen:
            return False
        self._seen.add(indices)
        for column, value in zip(self._indices.values(), indices, strict=True):
            column.append(value)
        self._ids.append(pair.pair_id)
        self._sources.append(pair.source)
        return True

    def table(self) -> pa.Table:
        columns: dict[str, Any] = {"pair_id": self._ids}
        columns |= {name: pa.array(values, pa.int32()) for name, values in self._indices.items()}
        return pa.table(columns | {"source": pa.array(self._sources).dictionary_encode()})


Read = tuple[Pair, tuple[Picture, Picture] | BadRow]


def _read_ahead(
    pairs: Iterable[Pair], size: int, resolution: int, known: dict[bytes, int | None], threads: int
) -> Iterator[list[Read]]:
    """Read and decode pairs in threads, `LOOK_AHEAD` chunks of `size` pairs before they are asked for."""

    def read(pair: Pair) -> Read:
        try:
            if not pair.prompt.strip():
                raise BadRow("empty prompt")
            return pair, (
                read_picture(pair.chosen, resolution, known),
                read_picture(pair.rejected, resolution, known),
            )
        except BadRow as error:
            return pair, error

    source = iter(pairs)
    waiting: deque[list[Future[Read]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            while chunk := list(islice(source, size)):
                waiting.append([pool.submit(read, pair) for pair in chunk])
                if len(waiting) > LOOK_AHEAD:
                    yield [future.result() for future in waiting.popleft()]
            while waiting:
                yield [future.result() for future in waiting.popleft()]
        finally:
            pool.shutdown(cancel_futures=True)


def _add_chunk(
    chunk: Sequence[Read], images: EncodedImages, prompts: EncodedPrompts, rows: _PairRows, rejects: Rejects
) -> None:
    """Encode what is new in a chunk and add its pairs."""
    readable = []
    for pair, pictures in chunk:
        if isinstance(pictures, BadRow):
            rejects.add(pair.pair_id, pictures)
        else:
            readable.append((pair, pictures))
    images.add([picture for _, pictures in readable for picture in pictures])
    usable = []
    for pair, (chosen, rejected) in readable:
        try:
            indices = images.index(chosen), images.index(rejected)
            if indices[0] == indices[1]:
                raise BadRow(SAME_PICTURE)
            usable.append((pair, indices))
        except BadRow as error:
            rejects.add(pair.pair_id, error)
    prompts.add([pair.prompt for pair, _ in usable])
    for pair, indices in usable:
        if not rows.add(pair, prompts.known[pair.prompt], *indices):
            rejects.add(pair.pair_id, BadRow(DUPLICATE))


def _check_bad_share(rejects: Rejects, rows: int, max_bad: float, out: Path) -> None:
    bad = len(rejects.bad_rows)
    if bad <= max_bad * rows:
        return
    listed = out.with_name(f"{out.name}.{BAD_ROWS}")
    rejects.write(listed)
    raise UserError(
        f"{bad} of {rows} rows are bad, {bad / rows:.1%} where --max-bad allows {max_bad:.1%}; the commonest "
        f"reason is: {rejects.commonest_bad_reason}. They are listed in {listed}."
    )


def _reasons(rejects: Rejects) -> str:
    counts = (f"{reason}: {count}" for reason, count in rejects.counts.most_common())
    return ", ".join(counts) or "it is empty"


def _files(folder: Path) -> dict[str, dict[str, Any]]:
    return {
        file.name: {"bytes": file.stat().st_size, "sha256": sha256_file(file)}
        for file in sorted(folder.iterdir())
    }
