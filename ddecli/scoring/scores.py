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
    protocol: dict[str, Any] | None = None
    images_sha256: str | None = None
    skipped: list[dict[str, str]] = field(default_factory=list)

    def table(self) -> pa.Table:
        """Columns prompt_id, image_index, metric, score; metric by metric, images in order."""
        rows: dict[str, list[Any]] = {name: [] for name in SCHEMA.names}
        for metric, values in self.metrics.items():
            rows["prompt_id"] += values.prompt_ids.tolist()
            rows["image_index"] += values.image_indices.tolist()
            rows["metric"] += [metric] * len(values.scores)
            rows["score"] += values.scores.tolist()
        return pa.table(rows, schema=SCHEMA)

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
            pq.write_table(self.table(), temporary)


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


@dataclass(frozen=True)
class MetricSummary:
    """Mean of a metric over `images`; `standard_error` clustered by prompt, None for a single prompt."""

    metric: str
    mean: float
    standard_error: float | None
    images: int
    prompts: int


def summarise(metric: str, values: MetricScores) -> MetricSummary:
    """Mean and its standard error, clustered by prompt.

    With residuals summed by prompt, e_g = sum_i (x_gi - mean), G prompts and N images, the standard error is
    sqrt(G / (G - 1) sum_g e_g^2) / N (Liang and Zeger 1986, for a mean).
    """
    scores = values.scores.astype(np.float64)
    _, cluster = np.unique(values.prompt_ids, return_inverse=True)
    mean = float(scores.mean())
    prompts = int(cluster.max()) + 1
    error = None
    if prompts > 1:
        residuals = np.bincount(cluster, weights=scores - mean)
        error = float(np.sqrt(prompts / (prompts - 1) * np.sum(residuals**2)) / len(scores))
    return MetricSummary(metric, mean, error, len(scores), prompts)
