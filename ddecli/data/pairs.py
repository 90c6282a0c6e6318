"""Preference pairs as sources give them, and the rows that cannot be used."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ddecli.core.errors import BadRow
from ddecli.core.images import check_bytes, readable_image
from ddecli.core.text import to_json

ImageRef = Path | bytes
"""A picture not yet read: a file's path, or the bytes of an encoded picture (PNG, JPEG, ...)."""


@dataclass(frozen=True)
class Pair:
    """One human (or annotator's) choice: for `prompt`, `chosen` was preferred to `rejected`.

    `pair_id` names the row in its source ("metadata.jsonl:12"), `source` the source itself; `note` is what the summary
    counts of it. Where a scorer decided already, `score_gap` is by how much (`relabel.gaps_of`); `noise` are the seeds
    of the noise that a model drew the chosen and the rejected picture from, where that is known. `strength` is the
    probability that `chosen` is preferred, 0.5 to 1, by votes or a label that is one; None where a winner is named.
    A picture with a caption is a pair without a `rejected`; of a source all pairs are such, or none.
    """

    prompt: str
    chosen: ImageRef
    rejected: ImageRef | None
    pair_id: str
    source: str
    note: str = ""
    score_gap: float | None = None
    noise: tuple[int, int] | None = None
    strength: float | None = None


def read_image_bytes(image: ImageRef) -> bytes:
    """Bytes of a picture's file.

    Raises:
        BadRow: the file is missing, cannot be read, or is too large for a picture.
    """
    if isinstance(image, bytes):
        check_bytes(len(image), "embedded bytes")
        return image
    try:
        return readable_image(image).read_bytes()
    except OSError as error:
        raise BadRow("unreadable image", f"{image} ({error})") from error


TIE = "tie"
NOT_LABELLED = "not labelled"
NOT_DIFFERENT = "pictures marked as not different"
SAME_PICTURE = "chosen and rejected are the same picture"
DUPLICATE = "duplicate of another pair"
EXCLUDED = "prompt of an excluded set"
NO_SCORE = "image without a score"
ONE_IMAGE = "prompt with fewer than two scored images"

VOTES_CONTRADICT = "votes contradict the order of the pictures, and decide"
"""Of a pair whose winner by votes stands in the loser's column."""

NOT_FINITE = "latent not finite"

EXPECTED_REASONS = frozenset(
    {TIE, NOT_LABELLED, NOT_DIFFERENT, SAME_PICTURE, DUPLICATE, EXCLUDED, NO_SCORE, ONE_IMAGE}
)
"""Rows that carry no preference (or one already counted). They are dropped, but the data are not at fault."""


@dataclass
class Rejects:
    """Rows that were dropped: counted by reason; the bad ones (damaged, incomplete) are also listed.

    One thread may add while others look.
    """

    counts: Counter[str] = field(default_factory=Counter)
    bad_rows: list[dict[str, str]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def add(self, row_id: str, error: BadRow) -> None:
        """Count a dropped row, and list it if the data are at fault."""
        with self._lock:
            self.counts[error.reason] += 1
            if error.reason not in EXPECTED_REASONS:
                self.bad_rows.append({"row": row_id, "reason": error.reason, "detail": error.detail})

    def take(self, other: Rejects) -> None:
        """Move another collector's rows into this one."""
        with self._lock:
            self.counts.update(other.counts)
            self.bad_rows += other.bad_rows
        other.counts.clear()
        other.bad_rows.clear()

    def with_those_of(self, other: Rejects) -> Rejects:
        """A copy with another collector's rows behind."""
        with self._lock:
            return Rejects(self.counts + other.counts, self.bad_rows + other.bad_rows)

    def lines(self) -> str:
        """The bad rows as JSON lines: `row`, `reason`, `detail`."""
        return "".join(to_json(row) + "\n" for row in self.bad_rows)


def count_bad(counts: Mapping[str, int]) -> int:
    """Of rows counted by reason, those that are damaged or incomplete."""
    return sum(count for reason, count in counts.items() if reason not in EXPECTED_REASONS)
