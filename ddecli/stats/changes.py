"""Which images of a model differ most from those of another with the same prompts and noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ddecli.core.scores import ScoreSet, score_signs
from ddecli.stats.compare import check_same_images
from ddecli.stats.metrics import DIVERSITY, is_judgement, is_part


@dataclass(frozen=True)
class Change:
    """An image and how far its score moved, in standard deviations of the other model's images."""

    prompt_id: str
    image_index: int
    size: float


@dataclass(frozen=True)
class Changes:
    """The image pairs of two models.

    Attributes:
        metrics: whose differences were averaged.
        better, worse: number of pairs in which the judged image scores higher, and lower; ties are in neither.
        images: all pairs, those that changed most, whichever way, first.
    """

    metrics: tuple[str, ...]
    better: int
    worse: int
    images: list[Change]


def changes(a: ScoreSet, b: ScoreSet) -> Changes | None:
    """Order the images of `a` by how far their scores lie from those of `b`, up or down.

    A change is the mean, over the metrics that stand for people's judgement, of the difference of two scores divided by
    the standard deviation of the metric over the images of `b`. Where none of these was scored, the others count, but
    for diversity, which is of a prompt, and the parts of metrics.

    Args:
        a: scores of the judged images.
        b: scores of the baseline's images.

    Returns:
        None where no metric that both have tells the images of `b` apart.

    Raises:
        UserError: not the same prompts and images.
    """
    both = [name for name in a.metrics if name in b.metrics and name != DIVERSITY and not is_part(name)]
    both = [name for name in both if is_judgement(name)] or both
    spreads = {name: float(b.metric(name).score.std()) for name in both}
    metrics = tuple(name for name, spread in spreads.items() if spread > 0)
    if not metrics:
        return None
    moved = []
    for name in metrics:
        check_same_images(a, b, name)
        new, old = a.metric(name), b.metric(name)
        ties = score_signs(new.score, old.score) == 0
        moved.append(np.where(ties, 0, new.score - old.score) / spreads[name])
    sizes = np.mean(moved, axis=0)
    keys = zip(new.prompt_id.tolist(), new.image_index.tolist(), sizes.tolist(), strict=True)
    images = sorted((Change(*key) for key in keys), key=lambda each: -abs(each.size))
    return Changes(metrics, int((sizes > 0).sum()), int((sizes < 0).sum()), images)
