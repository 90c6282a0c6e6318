"""Two models on the same prompts and seeds: differences, gains and beat ratios, each with its interval."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ddecli.core.errors import UserError
from ddecli.core.scores import MetricScores, ScoreSet, check_same_protocol, score_signs
from ddecli.stats.intervals import CONFIDENCE, Interval, estimate, gain_percent, ratio_values


@dataclass(frozen=True)
class MetricComparison:
    """One metric of `a`, the judged images, against `b`, the baseline.

    Means are means over prompts of the means over a prompt's images. Intervals are Student's over prompts, of 95 % if
    not said otherwise, so they speak of these two models alone; None with fewer than two prompts.

    Attributes:
        difference: mean of `a` minus mean of `b`.
        gain_percent: the difference in percent of `mean_b`; None where that is not clearly above zero.
        beat_ratio: share of image pairs (same prompt and image index) in which `a` scores higher; ties half.
        tie_share: share of image pairs with equal scores.
        sign_test_p: exact two-sided sign test over prompts (their mean differences, ties left out).
        prompts: number of prompts.
        pairs: number of image pairs.
    """

    metric: str
    mean_a: float
    mean_b: float
    difference: float
    difference_interval: Interval | None
    gain_percent: float | None
    gain_interval: Interval | None
    beat_ratio: float
    beat_interval: Interval | None
    tie_share: float
    sign_test_p: float
    prompts: int
    pairs: int

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Summary:
    """One metric of one set: mean over prompts, its standard error and Student's 95 % interval over prompts.

    Of one prompt there is neither.
    """

    metric: str
    mean: float
    standard_error: float | None
    interval: Interval | None
    prompts: int
    images: int

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def compare(a: ScoreSet, b: ScoreSet, level: float = CONFIDENCE) -> list[MetricComparison]:
    """Compare `a` with the baseline `b` in every metric that both have.

    Args:
        a: scores of the judged images.
        b: scores of the baseline's images.
        level: of the intervals.

    Raises:
        UserError: protocols or scorers differ, no metric in common, or not the same prompts and images.
    """
    check_same_protocol([a, b])
    metrics = [metric for metric in a.metrics if metric in b.metrics]
    if not metrics:
        raise UserError(
            f"{a.name} ({', '.join(a.metrics)}) and {b.name} ({', '.join(b.metrics)}) have no metric "
            "in common: score both with the same --metric."
        )
    return [_compare_metric(a, b, metric, level) for metric in metrics]


def summarize(a: ScoreSet) -> list[Summary]:
    """Mean of every metric with its standard error, clustered by prompt."""
    summaries = []
    for metric in a.metrics:
        scores = a.metric(metric)
        means = scores.prompt_means()
        error = float(means.std(ddof=1) / np.sqrt(len(means))) if len(means) > 1 else None
        reach = estimate(means[:, None]).interval()
        summaries.append(Summary(metric, float(means.mean()), error, reach, len(means), len(scores.score)))
    return summaries


def pairs_won(a: MetricScores, b: MetricScores) -> tuple[np.ndarray, np.ndarray]:
    """Image pairs in which `a` scores higher than `b`, ties half, and all pairs: two `(prompts,)` arrays.

    The images must be the same ones (`check_same_images`).
    """
    _, prompt = np.unique(a.prompt_id, return_inverse=True)
    credit = 0.5 + 0.5 * score_signs(a.score, b.score)
    return np.bincount(prompt, weights=credit), np.bincount(prompt).astype(float)


def tie_share(a: MetricScores, b: MetricScores) -> float:
    """Share of image pairs whose scores are equal, but for rounding."""
    return float(np.mean(score_signs(a.score, b.score) == 0))


def check_same_images(a: ScoreSet, b: ScoreSet, metric: str) -> None:
    """Refuse two sets in which a metric was not measured on the same prompts and image indices.

    Raises:
        UserError: the first image that only one of them has.
    """
    here, there = a.metric(metric), b.metric(metric)
    if _same(here.prompt_id, there.prompt_id) and _same(here.image_index, there.image_index):
        return
    keys_a, keys_b = _keys(here), _keys(there)
    lone, name = (keys_a - keys_b, a.name) if keys_a - keys_b else (keys_b - keys_a, b.name)
    prompt, image = min(lone)
    raise UserError(
        f"{a.name} and {b.name} do not hold the same images: prompt {prompt}, image {image} has a "
        f"{metric} score only in {name}; sample and score both with the same prompts and images a prompt."
    )


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and a.tolist() == b.tolist()


def _keys(scores: MetricScores) -> set[tuple[Any, int]]:
    return set(zip(scores.prompt_id.tolist(), scores.image_index.tolist(), strict=True))


def _compare_metric(a: ScoreSet, b: ScoreSet, metric: str, level: float) -> MetricComparison:
    from scipy.stats import binomtest

    check_same_images(a, b, metric)
    scores_a, scores_b = a.metric(metric), b.metric(metric)
    won, images = pairs_won(scores_a, scores_b)
    means_a, means_b = scores_a.prompt_means(), scores_b.prompt_means()
    difference = estimate((means_a - means_b)[:, None])
    gain = gain_percent(means_a[:, None], means_b[:, None])
    # Prompts may hold different numbers of images: the ratio is that of all images.
    ratio = estimate(ratio_values(won[:, None], images[:, None]))
    reach = ratio.interval(level)
    signs = score_signs(means_a, means_b)
    wins, losses = int((signs > 0).sum()), int((signs < 0).sum())
    return MetricComparison(
        metric=metric,
        mean_a=float(means_a.mean()),
        mean_b=float(means_b.mean()),
        difference=difference.value,
        difference_interval=difference.interval(level),
        gain_percent=gain.value if gain else None,
        gain_interval=gain.interval(level) if gain else None,
        beat_ratio=ratio.value,
        beat_interval=reach and reach.within(0, 1),
        tie_share=tie_share(scores_a, scores_b),
        sign_test_p=float(binomtest(wins, wins + losses).pvalue) if wins + losses else 1.0,
        prompts=len(images),
        pairs=len(scores_a.score),
    )
