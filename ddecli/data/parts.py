"""One part of a source, encoded into a folder that the join takes up without another look at the source.

part.json                     counts, dropped rows by reason, the files' sizes and SHA-256
bad-rows.jsonl                rows that could not be used, if any
train/, holdout/              for each split:
    pairs.parquet             pair_id, prompt (text), chosen, rejected (pixel digests, the latter empty of pictures
                              with captions), source, margin, noise seeds, strength
    images.parquet            pictures first seen in this part
    prompts.parquet           prompts first seen in this part
    latents-*, prompt-embeddings-*
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import torch
from pydantic import BaseModel, NonNegativeInt
from torch import Tensor

from ddecli.core.digests import check_files, file_entry
from ddecli.core.errors import BadRow, UserError
from ddecli.core.files import write_text
from ddecli.core.sealed import read_sealed, write_sealed
from ddecli.core.text import printable
from ddecli.data.encoding import EncodedImages, EncodedPrompts
from ddecli.data.index import Encoded
from ddecli.data.pairs import NOT_FINITE, SAME_PICTURE, Pair, Rejects
from ddecli.data.pictures import InMemory, Picture, read_picture
from ddecli.data.read_ahead import read_ahead
from ddecli.data.relabel import Decided, Relabel, first_won, strength_of
from ddecli.data.shards import EMBEDDINGS, LATENTS
from ddecli.data.sources.base import Part
from ddecli.data.splits import PromptSplit
from ddecli.data.store import BAD_ROWS
from ddecli.data.tables import TableWriter, read_rows

if TYPE_CHECKING:
    from ddecli.models.base import DiffusionModel

PART = "part.json"
MORE = {
    "margin": pa.float32(),
    "chosen_noise": pa.int64(),
    "rejected_noise": pa.int64(),
    "strength": pa.float32(),
}
"""Columns of the pairs of some stores: of those that a scorer decided, of a model's own images, of votes."""
PAIRS = pa.schema(
    [
        ("pair_id", pa.string()),
        ("prompt", pa.string()),
        ("chosen", pa.binary()),
        ("rejected", pa.binary()),
        ("source", pa.string()),
        *MORE.items(),
    ]
)


class _OfSplit(BaseModel):
    pairs: NonNegativeInt
    shard_rows: dict[str, list[NonNegativeInt]]
    conditioning: dict[str, list[int]]
    not_finite: list[str]


class _About(BaseModel):
    taken: NonNegativeInt
    dropped: dict[str, NonNegativeInt]
    splits: dict[str, _OfSplit]
    files: dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Encoder:
    """How pairs are encoded.

    dtype: of stored latents and embeddings.
    batch_size: pictures encoded together.
    workers: threads that read and decode pictures.
    empty: embedding of the empty prompt, each (1, ...).
    """

    model: DiffusionModel
    dtype: torch.dtype
    batch_size: int
    workers: int
    split: PromptSplit
    relabel: Relabel | Decided | None
    empty: dict[str, Tensor]


Watch = Callable[[int, Rejects], None]
WAITING = 512
"""Rows that may wait until the batch that one of their pictures is in is full."""
Read = tuple[Pair, tuple[str, tuple[Picture, ...]] | BadRow]


class _Row(NamedTuple):
    """A pair whose pictures could be read: digests of their files and pixels, and the gap between their scores."""

    split: str
    files: tuple[bytes, ...]
    pixels: tuple[bytes, ...]
    gap: float | None


def encode_part(
    part: Part,
    folder: Path,
    encoder: Encoder,
    encoded: Mapping[str, Encoded],
    limit: int | None = None,
    watch: Watch = lambda handled, rejects: None,
) -> None:
    """Clean and encode one part into `folder`.

    Memory holds a few batches of pictures, one shard of latents, one of embeddings and some thousand rows.

    Args:
        encoded: for each split, what the parts before this one encoded; this part's is added.
        limit: take only the first pairs.
        watch: told after every chunk how many rows are handled, and what was dropped.

    Raises:
        UserError: a damaged source, or too little memory on the device.
    """
    of_source, rejects = Rejects(), Rejects()
    writers = {name: _SplitWriter(folder / name, encoder, encoded[name]) for name in encoder.split.names}
    rows = _Rows(writers, rejects)
    taken = 0
    notes: Counter[str] = Counter()
    pairs = islice(part.read(of_source), limit)
    decode = partial(_decode, encoder, encoded, InMemory())

    def tell() -> None:
        watch(rows.settled + of_source.counts.total(), of_source.with_those_of(rejects))

    for chunk in read_ahead(pairs, max(1, encoder.batch_size // 2), decode, encoder.workers):
        taken += len(chunk)
        notes.update(pair.note for pair, _ in chunk if pair.note)
        gaps: Iterable[float | None] = repeat(None)
        if encoder.relabel is not None:
            gaps = encoder.relabel.score_gaps(
                [(pair, seen[1]) for pair, seen in chunk if not isinstance(seen, BadRow)]
            )
        rows.add(chunk, iter(gaps))
        rows.settle(WAITING)
        try:
            tell()
        except UserError:  # too many bad rows: those that wait are named, too
            rows.settle(0)
            tell()
            raise
    rows.settle(0)
    tell()
    rejects = of_source.with_those_of(rejects)
    if rejects.bad_rows:
        write_text(folder / BAD_ROWS, rejects.lines())
    splits = {name: writer.close() for name, writer in writers.items()}
    files = sorted(folder.glob("*/*"))
    write_sealed(
        folder / PART,
        {
            "name": part.name,
            "content": part.identity,
            "taken": taken,
            "dropped": dict(rejects.counts),
            "notes": dict(notes),
            "splits": splits,
            "files": {f"{file.parent.name}/{file.name}": file_entry(file) for file in files},
        },
    )


def read_part(folder: Path) -> dict[str, Any]:
    """What a finished part says of itself.

    Raises:
        UserError: it is damaged.
    """
    return read_sealed(folder / PART, _way_out(folder), _About)


def check_tables(folder: Path, split: str, about: Mapping[str, Any]) -> None:
    """Compare the tables of a part with what was noted when they were written (not by earlier versions).

    Raises:
        UserError: one has changed.
    """
    tables = {name: entry for name, entry in about["files"].items() if name.startswith(f"{split}/")}
    check_files(
        folder, {name: each for name, each in tables.items() if name.endswith(".parquet")}, _way_out(folder)
    )


def _way_out(folder: Path) -> str:
    return f"remove {folder} and run ddecli prepare again"


def recall_part(folder: Path, encoded: Mapping[str, Encoded]) -> None:
    """Note what a part encoded, as `encode_part` did when it was made."""
    about = read_part(folder)
    splits = about["splits"]
    for name, index in encoded.items():
        check_tables(folder, name, about)
        for row in read_rows(folder / name / "images.parquet"):
            index.add_file(bytes.fromhex(row["sha256"]), row["pixels"])
            index.add_picture(row["pixels"], finite=True)
        for pixels in splits[name]["not_finite"]:
            index.add_picture(bytes.fromhex(pixels), finite=False)
        for row in read_rows(folder / name / "prompts.parquet"):
            index.add_prompt(row["text"])


class _Rows:
    """Rows in the source's order, each until it is known whether its pictures' latents are finite."""

    def __init__(self, writers: Mapping[str, _SplitWriter], rejects: Rejects) -> None:
        self.writers, self.rejects = writers, rejects
        self.settled = 0
        self._waiting: deque[tuple[Pair, _Row | BadRow]] = deque()

    def add(self, chunk: Iterable[Read], gaps: Iterator[float | None]) -> None:
        """Add rows; their pictures that are new are encoded, a batch at a time.

        Args:
            gaps: between the scores of each pair's pictures, if it is relabelled; none for bad rows.
        """
        for pair, seen in chunk:
            if isinstance(seen, BadRow):
                self._waiting.append((pair, seen))
                continue
            split, pictures = seen
            files = tuple(picture.digest for picture in pictures)
            pixels = tuple(map(self.writers[split].images.add, pictures))
            self._waiting.append((pair, _Row(split, files, pixels, next(gaps))))

    def settle(self, most: int) -> None:
        """Write or reject the first rows, until one waits for its pictures and no more than `most` are left."""
        while self._waiting:
            pair, row = self._waiting[0]
            try:
                if isinstance(row, BadRow):
                    self.rejects.add(pair.pair_id, row)
                elif not self.writers[row.split].write(pair, row):
                    if len(self._waiting) <= most:
                        return
                    self.writers[row.split].images.encode()
                    continue
            except BadRow as error:
                self.rejects.add(pair.pair_id, error)
            self._waiting.popleft()
            self.settled += 1


class _SplitWriter:
    """The pairs of one split in one part."""

    def __init__(self, folder: Path, encoder: Encoder, encoded: Encoded) -> None:
        folder.mkdir()
        how = (encoder.model, folder, encoder.dtype, encoder.batch_size, encoded)
        self.images, self.prompts = EncodedImages(*how), EncodedPrompts(*how)
        self.pairs = TableWriter(folder / "pairs.parquet", PAIRS)
        self.prompts.add_encoded("", encoder.empty)
        self.strengths = 0  # pairs that have one
        self.deciding = encoder.relabel.card if encoder.relabel else None

    def write(self, pair: Pair, row: _Row) -> bool:
        """Write a pair; whether its pictures are encoded, so that it could be.

        Raises:
            BadRow: it is of no use.
        """
        (chosen, rejected), gap, noise = (*row.pixels, None)[:2], row.gap, pair.noise or (None, None)
        finite = list(map(self.images.encoded.is_finite, row.pixels))
        if None in finite:
            return False
        for file, is_finite in zip(row.files, finite, strict=True):
            if not is_finite:
                raise BadRow(NOT_FINITE, f"picture with SHA-256 {file.hex()}")
        if chosen == rejected:
            raise BadRow(SAME_PICTURE)
        if gap is not None and not first_won(gap):
            chosen, rejected, gap = rejected, chosen, -gap
            noise = noise[::-1]
        strength = pair.strength
        if gap is not None and self.deciding is not None:
            strength = strength_of(self.deciding, gap)
        self.prompts.add(pair.prompt)
        names = printable(pair.pair_id), printable(pair.source)  # files' names need not be UTF-8
        self.pairs.add(names[0], pair.prompt, chosen, rejected, names[1], gap, *noise, strength)
        self.strengths += strength is not None
        return True

    def close(self) -> dict[str, Any]:
        """Finish the files; what they hold."""
        for file in (self.pairs, self.images, self.prompts):
            file.close()
        latents, embeddings = self.images.writer, self.prompts.writer
        return {
            "pairs": self.pairs.count,
            "strengths": self.strengths,
            "shard_rows": {LATENTS: latents.shard_rows, EMBEDDINGS: embeddings.shard_rows},
            "conditioning": embeddings.shapes,
            "not_finite": [pixels.hex() for pixels in self.images.not_finite],
        }


def _decode(encoder: Encoder, encoded: Mapping[str, Encoded], in_memory: InMemory, pair: Pair) -> Read:
    """A pair's split and pictures; the pair itself lets go of their bytes."""
    light = replace(pair, chosen=b"", rejected=None)
    relabel = encoder.relabel
    try:
        if not pair.prompt.strip():
            raise BadRow("empty prompt")
        split = encoder.split.of(pair.prompt)
        for_scorer = relabel.preprocess if relabel else None
        known = () if for_scorer else encoded[split]
        pictures = tuple(
            read_picture(image, encoder.model.resolution, known, for_scorer, in_memory)
            for image in (pair.chosen, pair.rejected)
            if image is not None
        )
        return light, (split, pictures)
    except BadRow as error:
        return light, error
