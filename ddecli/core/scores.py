"""Scores of images as they lie on disk, and the rule that only scores of one protocol are put side by side.

scores.parquet         a row per (image, metric): prompt_id, image_index, metric, score
scores.json            the protocol of the images, the cards of the scorers, the digests of the other two files
scores-skipped.jsonl   images that could not be scored, where there are any
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel

from ddecli.core.digests import digest_of, file_entry
from ddecli.core.errors import UserError, read_by_others
from ddecli.core.files import atomic_file, write_text
from ddecli.core.ledger import note
from ddecli.core.paths import readable_file
from ddecli.core.protocol import spacing_of
from ddecli.core.sealed import read_sealed, write_sealed
from ddecli.core.text import to_json
from ddecli.core.text_tables import read_records
from ddecli.core.world import world_of

SCORES_PARQUET, SCORES_JSON, SKIPPED = "scores.parquet", "scores.json", "scores-skipped.jsonl"
MAX_SHOWN = 200
"""Letters of a value in a refusal."""
ROUNDING = 1e-5
"""Two scores whose difference is a smaller share of them are equal: float32 kernels round by the shape of a batch."""
MAX_ROWS = 4_000_000
"""Rows of a table that are read (10,000 prompts with 50 images by 8 metrics): in memory some 220 bytes each."""
MAX_ROW_BYTES = 256
"""Unpacked bytes a row; those that are written have some 40."""
MAX_TEXT = 100
"""Letters of a prompt's id, which has 12, and of a metric's name."""
ROWS_AT_ONCE = 65_536
SCORE_AGAIN = "score the images again"
COLUMNS = ("prompt_id", "image_index", "metric", "score")


class _About(BaseModel):
    """What of scores.json is needed."""

    protocol: dict[str, Any]
    scorers: dict[str, dict[str, Any]]
    images_sha256: str | None = None
    files: dict[str, dict[str, Any]] = {}


@dataclass(frozen=True)
class MetricScores:
    """The scores of one metric, an image each: three arrays `(N,)`; `prompt_id` holds texts."""

    prompt_id: np.ndarray
    image_index: np.ndarray
    score: np.ndarray

    def prompt_means(self) -> np.ndarray:
        """Mean score of each prompt's images, `(prompts,)`, in the order of the sorted prompt ids."""
        _, prompt = np.unique(self.prompt_id, return_inverse=True)
        return np.bincount(prompt, weights=self.score) / np.bincount(prompt)


@dataclass
class ScoreSet:
    """The scores of one folder, or list, of images.

    Attributes:
        name: what messages call it (the path it was read from).
        metrics: the scores of each metric.
        protocol: how the images were sampled; `model` in it says what was sampled from.
        scorers: the card of each metric's scorer.
        images_sha256: tells whether the images are still those that were scored.
        skipped: file and reason of images that could not be scored; not read back by `load_scores`.
    """

    name: str
    metrics: dict[str, MetricScores] = field(default_factory=dict)
    protocol: dict[str, Any] = field(default_factory=dict)
    scorers: dict[str, dict[str, Any]] = field(default_factory=dict)
    images_sha256: str | None = None
    skipped: list[dict[str, str]] = field(default_factory=list)

    def metric(self, name: str) -> MetricScores:
        """The scores of one metric in float64, sorted by prompt and image."""
        found = self.metrics[name]
        order = np.lexsort((found.image_index, found.prompt_id))
        return MetricScores(
            found.prompt_id[order], found.image_index[order], found.score[order].astype(np.float64)
        )

    def save(self, folder: Path) -> None:
        """Write scores-skipped.jsonl if there is something to list, scores.json and, last, scores.parquet."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        each = self.metrics.values()
        columns = (
            np.concatenate([values.prompt_id for values in each]),
            np.concatenate([values.image_index for values in each]),
            np.repeat(list(self.metrics), [len(values.score) for values in each]),
            np.concatenate([values.score for values in each]),
        )
        (folder / SCORES_PARQUET).unlink(missing_ok=True)  # never beside cards that are not its own
        beside = {}
        if self.skipped:
            write_text(folder / SKIPPED, "".join(to_json(row) + "\n" for row in self.skipped))
            beside = {SKIPPED: file_entry(folder / SKIPPED)}
        else:
            (folder / SKIPPED).unlink(missing_ok=True)
        types = (pa.string(), pa.int32(), pa.string(), pa.float32())
        schema = pa.schema(list(zip(COLUMNS, types, strict=True)))
        with atomic_file(folder / SCORES_PARQUET) as temporary:
            pq.write_table(pa.table(dict(zip(COLUMNS, columns, strict=True)), schema=schema), temporary)
            about = {
                "protocol": self.protocol,
                "images_sha256": self.images_sha256,
                "skipped": len(self.skipped),
                "scorers": self.scorers,
                "files": {SCORES_PARQUET: file_entry(temporary)} | beside,
            }
            write_sealed(folder / SCORES_JSON, about)


def score_signs(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Which of two scores is higher: 1 where `a` is, -1 where `b` is, 0 for a tie: they differ by rounding alone.

    Of scores below a tenth the tenth counts: their parts are larger than they are.

    Args:
        a, b: arrays of one shape.
    """
    tolerance = ROUNDING * np.maximum(np.maximum(np.abs(a), np.abs(b)), 0.1)
    return np.where(np.abs(a - b) <= tolerance, 0, np.sign(a - b)).astype(int)


def load_scores(path: str | Path) -> ScoreSet:
    """Read the scores that `ddecli score` wrote, metrics in alphabetical order.

    Args:
        path: a folder of scored images, or its `scores.parquet`; `scores.json` lies beside it.

    Raises:
        UserError: a file is missing or damaged, an image was scored twice, or a score is not a finite number.
    """

    path = Path(path)
    file = path if path.suffix == ".parquet" else path / SCORES_PARQUET
    if not file.exists():
        raise UserError(f"{file} does not exist: score the images first with `ddecli score {file.parent}`.")
    readable_file(file)
    about = _about(file.with_suffix(".json"))
    _check_digest(file, about, SCORES_PARQUET)
    with read_by_others(f"{file} cannot be read as a table of {', '.join(COLUMNS)}", SCORE_AGAIN):
        table = _read_rows(file)
    _check_rows(file, table)
    metrics = {}
    for metric in np.unique(table["metric"]).tolist():
        chosen = table["metric"] == metric
        metrics[metric] = MetricScores(
            table["prompt_id"][chosen], table["image_index"][chosen], table["score"][chosen]
        )
    lacking = [name for name in metrics if name not in about["scorers"]]
    if lacking:
        raise UserError(
            f"{file.with_suffix('.json')} lacks the card of {lacking[0]}'s scorer: {SCORE_AGAIN}."
        )
    note(file, file.with_suffix(".json"))
    return ScoreSet(str(path), metrics, about["protocol"], about["scorers"], about.get("images_sha256"))


def _read_rows(file: Path) -> dict[str, np.ndarray]:
    """The columns of a table of scores, each (N,), read some rows at a time.

    Raises:
        ValueError: more rows or longer texts than scores have (some kilobytes can unpack to gigabytes), or a gap.
    """
    import pyarrow.parquet as pq

    texts = {"prompt_id": _Texts(), "metric": _Texts()}
    with pq.ParquetFile(file, read_dictionary=list(texts)) as parquet:
        about = parquet.metadata
        if about.num_rows > MAX_ROWS:
            raise ValueError(f"{about.num_rows:,} rows, at most {MAX_ROWS:,} are read")
        size = sum(about.row_group(number).total_byte_size for number in range(about.num_row_groups))
        if size > MAX_ROW_BYTES * about.num_rows + 2**20:
            raise ValueError(f"{size:,} bytes for {about.num_rows:,} scores")
        index, score = np.empty(about.num_rows, np.int32), np.empty(about.num_rows, np.float32)
        start = 0
        for batch in parquet.iter_batches(batch_size=ROWS_AT_ONCE, columns=list(COLUMNS)):
            for name in COLUMNS[:3]:
                if batch.column(name).null_count:
                    raise ValueError(f"a {name} is missing")
            for name, found in texts.items():
                if not hasattr(batch.column(name), "dictionary"):
                    raise ValueError(f"a {name} is no text")
                found.add(batch.column(name))
            rows = slice(start, start + len(batch))
            index[rows] = np.array(batch.column("image_index"), dtype=np.int32)
            score[rows] = np.array(batch.column("score").to_pylist(), dtype=np.float32)
            start += len(batch)
    prompts, metrics = (found.array() for found in texts.values())
    return {"prompt_id": prompts, "image_index": index, "metric": metrics, "score": score}


class _Texts:
    """A column of a few texts that come again and again: each is kept once, as the file has it."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._rows: list[np.ndarray] = []

    def add(self, column: Any) -> None:
        """Add the rows of a batch, dictionary encoded."""
        known = [self._numbers.setdefault(text, len(self._numbers)) for text in column.dictionary.to_pylist()]
        self._rows.append(np.array(known, dtype=np.int32)[np.array(column.indices)])

    def array(self) -> np.ndarray:
        """All rows as texts, (N,)."""
        texts = list(self._numbers)
        if max(map(len, texts), default=0) > MAX_TEXT:
            raise ValueError(f"a text of more than {MAX_TEXT} letters")
        return np.array(texts, dtype=str)[np.concatenate([np.empty(0, np.int32), *self._rows])]


def load_skipped(folder: Path) -> list[dict[str, str]]:
    """The images that could not be scored when `folder` was.

    Raises:
        UserError: the list is missing or damaged.
    """
    about = _about(folder / SCORES_JSON)
    if not about.get("skipped") and not (folder / SKIPPED).exists():
        return []
    _check_digest(folder / SKIPPED, about, SKIPPED)
    return read_records(folder / SKIPPED, SCORE_AGAIN, dict[str, str])


def _about(file: Path) -> dict[str, Any]:
    """What scores.json says."""
    return read_sealed(file, SCORE_AGAIN, _About)


def _check_digest(file: Path, about: dict[str, Any], name: str) -> None:
    """Compare a file with what scores.json says of it (nothing in those of earlier versions)."""
    expected = about.get("files", {}).get(name, {}).get("sha256")
    if expected not in (None, digest_of(readable_file(file))):
        raise UserError(f"{file} has changed since it was written: {SCORE_AGAIN}.")


def check_same_protocol(sets: Sequence[Any]) -> None:
    """Refuse to put side by side what was not measured in the same way.

    Args:
        sets: results with `name`, `protocol`, `scorers`. The protocol's `model` may differ; a scorer's card
            is compared where two sets have the same metric.

    Raises:
        UserError: the first field that differs, with both values.
    """
    first = sets[0]
    for other in sets[1:]:
        for name, here, there in _differences(_without_model(first), _without_model(other)):
            raise _refusal(first, other, name, here, there, "sample both with the same settings")
        for metric in (name for name in first.scorers if name in other.scorers):
            for name, here, there in _differences(first.scorers[metric], other.scorers[metric], metric):
                raise _refusal(
                    first, other, f"the scorer's {name}", here, there, "score both with the same scorer"
                )


def _without_model(scores: ScoreSet) -> dict[str, Any]:
    protocol = {key: value for key, value in scores.protocol.items() if key != "model"}
    return protocol | {"world": world_of(protocol), "spacing": spacing_of(protocol)} if protocol else protocol


def _differences(a: Any, b: Any, field: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Every field in which two nested records differ, in the order of the first one."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in [*a, *(key for key in b if key not in a)]:
            name = f"{field}.{key}" if field else str(key)
            yield from _differences(a.get(key, "absent"), b.get(key, "absent"), name)
    elif a != b:
        yield field, a, b


def _refusal(a: ScoreSet, b: ScoreSet, field: str, here: Any, there: Any, way_out: str) -> UserError:
    return UserError(
        f"{a.name} and {b.name} cannot be compared: {field} is {str(here)[:MAX_SHOWN]} in the first and "
        f"{str(there)[:MAX_SHOWN]} in the second; {way_out}."
    )


def _check_rows(file: Path, table: dict[str, np.ndarray]) -> None:
    if not len(table["score"]):
        raise UserError(f"{file} holds no scores: score the images again.")
    bad = np.flatnonzero(~np.isfinite(table["score"]))
    if len(bad):
        raise UserError(
            f"{file} holds {len(bad)} scores that are no finite numbers, the first for {_row(table, bad[0])}."
        )
    keys = [np.unique(table[name], return_inverse=True)[1] for name in ("metric", "prompt_id", "image_index")]
    order = np.lexsort(keys)
    same = np.all([key[order][1:] == key[order][:-1] for key in keys], axis=0)
    if same.any():
        raise UserError(
            f"{file} holds two scores for {_row(table, order[1:][same][0])}: score the images again."
        )


def _row(table: dict[str, np.ndarray], row: int) -> str:
    return f"{table['metric'][row]}, prompt {table['prompt_id'][row]}, image {table['image_index'][row]}"
