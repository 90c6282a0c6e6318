"""What every source of pairs gives: parts that can be read alone, in any order, by any process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ddecli.data.pairs import Pair, Rejects

PART_ROWS = 1024
"""Rows of a part where the source has no shards of its own: what is done again after a crash."""


@dataclass(frozen=True)
class Wanted:
    """What the user says of the data.

    mapping: canonical -> actual column names.
    split: which split to take, or a pattern such as `train_*`; None: `train` where there are splits.
    subset: which subset of a data set of the hub; None: the only or default one.
    labelled: False where a scorer decides, so that no label is needed.
    winners_only: whether the data are pictures with captions, with nothing to compare them with.
    """

    mapping: Mapping[str, str] = field(default_factory=dict)
    split: str | None = None
    subset: str | None = None
    labelled: bool = True
    winners_only: bool = False


@dataclass(frozen=True)
class Part:
    """A piece of a source. Reading it again gives the same pairs in the same order.

    name: names it in messages.
    read: its pairs, as they are asked for; rows that are none go to the collector it is given.
    rows: rows it has, None if that is not known before reading.
    size: bytes of its file, if it has one.
    content: digest of what is in its files; a data set of the hub has its revision in the source's name.
    """

    name: str
    read: Callable[[Rejects], Iterator[Pair]]
    rows: int | None = None
    size: int | None = None
    content: str = ""

    @property
    def identity(self) -> list[Any]:
        """Differs where the part's content does."""
        return [self.size, self.content]


@dataclass(frozen=True)
class Source:
    """Pairs to prepare.

    name: what the pairs are, for the manifest.
    layout: what was recognised, for people.
    parts: in their order; the store's rows are in this order.
    repeatable: whether the parts can be read again after a crash.
    rows: rows of all parts, if the source says so although the parts do not.
    left_out: how many files of a folder are neither pictures nor texts, by their ending.
    drawn: of a model's own images, whose pairs know the noise that they were drawn from: the model's family and
        resolution, on which that noise depends.
    winners_only: whether its pairs are pictures with captions alone.
    """

    name: str
    layout: str
    parts: Sequence[Part]
    repeatable: bool = True
    rows: int | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)
    drawn: Mapping[str, Any] | None = None
    winners_only: bool = False

    @property
    def total(self) -> int | None:
        """Rows of all parts, if known."""
        counts = [part.rows for part in self.parts]
        return self.rows if None in counts else sum(count for count in counts if count is not None)


def of_pairs(
    pairs: Iterable[Pair], name: str, rejects: Rejects | None = None, rows: int | None = None
) -> Source:
    """A source of pairs that are at hand; `rejects` is where they report rows that are no pairs."""

    def read(into: Rejects) -> Iterator[Pair]:
        for pair in pairs:
            if rejects is not None:
                into.take(rejects)
            yield pair
        if rejects is not None:
            into.take(rejects)

    return Source(name, "pairs at hand", [Part(name, read, rows)], repeatable=False)
