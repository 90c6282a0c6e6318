"""Whether a model scores worse than another in everything, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence

from ddecli.core.advice import gentler
from ddecli.core.errors import UserError
from ddecli.core.protocol import sampled_model
from ddecli.core.scores import ScoreSet
from ddecli.objectives.registry import has_beta
from ddecli.stats.compare import MetricComparison
from ddecli.stats.metrics import is_judgement
from ddecli.stats.trainings import run_settings


def decline(a: ScoreSet, b: ScoreSet, compared: Sequence[MetricComparison]) -> str | None:
    """A sentence where `a` lies below `b` in every score, each by more than its interval; else None.

    Diversity is no score: what is trained loses some of it, also where it becomes better.

    Args:
        compared: of `a` with `b`.
    """
    intervals = [each.difference_interval for each in compared if is_judgement(each.metric)]
    if not intervals or not all(interval and interval[1] < 0 for interval in intervals):
        return None
    return f"Every score of {a.name} lies clearly below that of {b.name}: {_way_out(a, b)}."


def _way_out(a: ScoreSet, b: ScoreSet) -> str:
    try:
        settings = run_settings(a.protocol)
    except UserError:  # a run that has changed says nothing of its training
        settings = {}
    base = sampled_model(b.protocol) if settings else None
    if base is not None and settings.get("model") == base:
        return (
            f"training has made the model worse; train again with {gentler(has_beta(settings.get('loss')))}"
        )
    return f"if its model was trained from the other one, train again with {gentler()}"
