"""Preference pairs as sources give them, and the rows that cannot be used."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from ddecli.core.errors import BadRow
from ddecli.core.files import write_text

ImageRef = Path | bytes
"""A picture not yet read: a file's path, or the bytes of an encoded picture (PNG, JPEG, ...)."""


@dataclass(frozen=True)
class Pair:
    """One human (or annotator's) choice: for `prompt`, `chosen` was preferred to `rejected`.

    `pair_id` names the row in its source ("metadata.jsonl:12"), `source` the source itself.
    """

    prompt: str
    chosen: ImageRef
    rejected: ImageRef
    pair_id: str
    source: str


def read_image_bytes(image: ImageRef) -> bytes:
    """Bytes of a picture's file.

    Raises:
        BadRow: the file is missing or cannot be read.
    """
    if isinstance(image, bytes):
        return image
    try:
        return image.read_bytes()
    except FileNotFoundError as error:
        raise BadRow("missing image", str(image)) from error
    except (OSError, ValueError) as error:
        raise BadRow("unreadable image", f"{image} ({error})") from error


TIE = "tie"
NOT_LABELLED = "not labelled"
NOT_DIFFERENT = "pictures marked as not different"
SAME_PICTURE = "chosen and rejected are the same picture"
DUPLICATE = "duplicate of another pair"

EXPECTED_REASONS = frozenset({TIE, NOT_LABELLED, NOT_DIFFERENT, SAME_PICTURE, DUPLICATE})
"""Rows that carry no preference (or one already counted). They are dropped, but the data are not at fault."""


@dataclass
class Rejects:
    """Rows that were dropped: counted by reason; the bad ones (damaged, incomplete) are also listed."""

    counts: Counter[str] = field(default_factory=Counter)
    bad_rows: list[dict[str, str]] = field(default_factory=list)

    def add(self, row_id: str, error: BadRow) -> None:
        """Count a dropped row, and list it if the data are at fault."""
        self.counts[error.reason] += 1
        if error.reason not in EXPECTED_REASONS:
            self.bad_rows.append({"row": row_id, "reason": error.reason, "detail": error.detail})

    @property
    def commonest_bad_reason(self) -> str:
        """The reason most of the bad rows share."""
        return Counter(row["reason"] for row in self.bad_rows).most_common(1)[0][0]

    def write(self, path: Path) -> None:
        """Write the bad rows as JSON lines: `row`, `reason`, `detail`."""
        write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in self.bad_rows))
