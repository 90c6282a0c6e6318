"""Scores as they lie on disk, and the rule that only scores of one protocol are put side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ddecli.core.errors import UserError
from ddecli.core.files import read_json

COLUMNS = ("prompt_id", "image_index", "metric", "score")
WHOLE_PROMPT = -1
"""The image index of a score that belongs to all images of a prompt together (diversity)."""


@dataclass(frozen=True)
class MetricScores:
    """The scores of one metric, sorted by prompt and image: three arrays of one length."""

    prompt_id: np.ndarray
    image_index: np.ndarray
    score: np.ndarray

    def prompt_means(self) -> np.ndarray:
        """Mean score of each prompt's images, `(prompts,)`, in the order of the sorted prompt ids."""
        _, prompt = np.unique(self.prompt_id, return_inverse=True)
        return np.bincount(prompt, weights=self.score) / np.bincount(prompt)


@dataclass(frozen=True)
class ScoreSet:
    """The scores of one folder of images.

    Attributes:
        name: what messages call it (the path it was read from).
        table: the columns prompt_id, image_index, metric, score as arrays of one length.
        protocol: how the images were sampled; `model` in it says what was sampled from.
        scorers: the card of each metric's scorer.
    """

    name: str
    table: dict[str, np.ndarray]
    protocol: dict[str, Any]
    scorers: dict[str, Any]

    @property
    def metrics(self) -> list[str]:
        """The metrics in alphabetical order."""
        return sorted(set(self.table["metric"].tolist()))

    def metric(self, name: str) -> MetricScores:
        """The scores of one metric, sorted by prompt and image."""
        rows = np.flatnonzero(self.table["metric"] == name)
        prompt_id, image_index = self.table["prompt_id"][rows], self.table["image_index"][rows]
        order = np.lexsort((image_index, prompt_id))
        return MetricScores(
            prompt_id[order], image_index[order], self.table["score"][rows][order].astype(np.float64)
        )


def load_scores(path: str | Path) -> ScoreSet:
    """Read the scores that `ddecli score` wrote.

    Args:
        path: a folder of scored images, or its `scores.parquet`; `scores.json` lies beside it.

    Raises:
        UserError: a file is missing or damaged, an image was scored twice, or a score is not a finite number.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = Path(path)
    file = path if path.suffix == ".parquet" else path / "scores.parquet"
    if not file.is_file():
        raise UserError(f"{file} does not exist: score the images first with `ddecli score {file.parent}`.")
    try:
        rows = pq.read_table(file)
        table = {
            "prompt_id": _ids(rows.column("prompt_id").to_pylist()),
            "image_index": np.array(rows.column("image_index").fill_null(WHOLE_PROMPT), dtype=np.int64),
            "metric": np.array(rows.column("metric").to_pylist(), dtype=str),
            "score": np.array(rows.column("score").to_pylist(), dtype=np.float64),
        }
    except (pa.ArrowException, OSError, KeyError, ValueError, TypeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(
            f"{file} cannot be read as a table of {', '.join(COLUMNS)} ({reason}): score the images again."
        ) from error
    card = read_json(file.with_suffix(".json"))
    if not isinstance(card, dict) or not all(isinstance(card.get(k), dict) for k in ("protocol", "scorers")):
        raise UserError(
            f"{file.with_suffix('.json')} lacks its protocol or its scorers: score the images again."
        )
    _check_rows(file, table)
    return ScoreSet(str(path), table, card["protocol"], card["scorers"])


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
        for field, here, there in _differences(_without_model(first), _without_model(other)):
            raise _refusal(first, other, field, here, there, "sample both with the same settings")
        for metric in (name for name in first.scorers if name in other.scorers):
            for field, here, there in _differences(first.scorers[metric], other.scorers[metric], metric):
                raise _refusal(
                    first, other, f"the scorer's {field}", here, there, "score both with the same scorer"
                )


def _without_model(scores: ScoreSet) -> dict[str, Any]:
    return {key: value for key, value in scores.protocol.items() if key != "model"}


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
        f"{a.name} and {b.name} cannot be compared: {field} is {here} in the first and {there} "
        f"in the second; {way_out}."
    )


def _ids(values: list[Any]) -> np.ndarray:
    """Prompt ids are numbers or names; a column that holds neither is damaged."""
    if any(value is None for value in values):
        raise ValueError("a prompt_id is missing")
    ids = np.array(values)
    return ids.astype(np.int64 if ids.dtype.kind in "iu" else str)


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
