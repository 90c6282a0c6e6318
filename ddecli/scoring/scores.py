"""Scores, one row an (image, metric), in scores.parquet; the cards of their scorers in scores.json."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ddecli.core.errors import UserError
from ddecli.core.files import atomic_file, read_json, write_json, write_text

SCORES_PARQUET, SCORES_JSON, SKIPPED = "scores.parquet", "scores.json", "scores-skipped.jsonl"
SCHEMA = pa.schema(
    [
        ("prompt_id", pa.string()),
        ("image_index", pa.int32()),
        ("metric", pa.string()),
        ("score", pa.float32()),
    ]
)


@dataclass(frozen=True)
class MetricScores:
    """Scores of one metric: `prompt_ids`, `image_indices` and `scores`, each (N,)."""

    prompt_ids: np.ndarray
    image_indices: np.ndarray
    scores: np.ndarray


@dataclass
class Scores:
    """All scores of one source. `images_sha256` tells whether the images are still those that were scored."""

    name: str
    metrics: dict[str, MetricScores] = field(default_factory=dict)
    cards: dict[str, dict[str, Any]] = field(default_factory=dict)
    protocol: dict[str, Any] = field(default_factory=dict)
    images_sha256: str | None = None
    skipped: list[dict[str, str]] = field(default_factory=list)

    def columns(self) -> dict[str, np.ndarray]:
        """Columns prompt_id, image_index, metric, score of one length; metric by metric, images in order."""
        each = self.metrics.values()
        return {
            "prompt_id": np.concatenate([values.prompt_ids for values in each]),
            "image_index": np.concatenate([values.image_indices for values in each]),
            "metric": np.repeat(list(self.metrics), [len(values.scores) for values in each]),
            "score": np.concatenate([values.scores for values in each]),
        }

    def save(self, folder: Path) -> None:
        """Write scores.json, scores-skipped.jsonl and, last, scores.parquet."""
        (folder / SCORES_PARQUET).unlink(missing_ok=True)  # never beside cards that are not its own
        write_json(
            folder / SCORES_JSON,
            {
                "protocol": self.protocol,
                "images_sha256": self.images_sha256,
                "skipped": len(self.skipped),
                "scorers": self.cards,
            },
        )
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in self.skipped)
        write_text(folder / SKIPPED, "".join(lines))
        with atomic_file(folder / SCORES_PARQUET) as temporary:
            pq.write_table(pa.table(self.columns(), schema=SCHEMA), temporary)


def load_scores(folder: Path) -> Scores:
    """Read back what `Scores.save` wrote.

    Raises:
        UserError: a file is missing or damaged.
    """
    about = read_json(folder / SCORES_JSON)
    try:
        table = pq.read_table(folder / SCORES_PARQUET)
        columns = {name: table[name].to_numpy(zero_copy_only=False) for name in SCHEMA.names}
        skipped = [json.loads(line) for line in (folder / SKIPPED).read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"The scores in {folder} cannot be read ({error}): score it again.") from error
    scores = Scores(str(folder), {}, about["scorers"], about["protocol"], about["images_sha256"], skipped)
    for metric in dict.fromkeys(columns["metric"]):
        chosen = columns["metric"] == metric
        scores.metrics[metric] = MetricScores(
            columns["prompt_id"][chosen], columns["image_index"][chosen], columns["score"][chosen]
        )
    return scores
