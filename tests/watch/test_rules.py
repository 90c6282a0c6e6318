"""When a sheet is a reason for alarm: by closed forms, and beside scipy's intervals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_1samp
from score_sets import score_set

from ddecli.stats.compare import MetricComparison, compare
from ddecli.watch.rules import alike, fooled, labellers, level_of, worse

LEARNED = {"holdout_margin": -1.0, "holdout_margin_error": 0.1, "holdout_accuracy": 0.7, "holdout_pairs": 100}
NOT_LEARNED = LEARNED | {"holdout_margin": 1.0, "holdout_accuracy": 0.3}
NOISE = np.random.default_rng(0).normal(size=(30, 2))


def compared(level: float = 0.99, **shifts: float) -> list[MetricComparison]:
    """30 prompts; a shift of 1 is some seven standard errors."""
    metrics = {name: shift + NOISE[::-1] + NOISE for name, shift in shifts.items()}
    return compare(score_set("a", metrics), score_set("b", dict.fromkeys(shifts, NOISE)), level)


def test_the_level_allows_for_all_looks() -> None:
    """Five sheets of 100 steps (20, 40, ..., 100), seven of 130 (20, ..., 120, 130)."""
    assert level_of(100, 20, 1) == pytest.approx(0.99)
    assert level_of(130, 20, 2) == pytest.approx(1 - 0.05 / 14)
    assert level_of(10, 20, 0) == pytest.approx(0.95)


def test_a_score_that_rises_while_another_falls() -> None:
    said = fooled(compared(clip=-1, pickscore=1), (), {})
    assert said == "a score rises (pickscore) while another falls (clip): the scorer may be fooled"
    for fine in (
        {"clip": 1, "pickscore": 1},
        {"clip": 0, "pickscore": 1},
        {"clip": -1, "pickscore": 0},
        {"clip": -1, "pickscore": -1},
        {"clip": 1, "diversity": -1},
        {"clip": -1, "diversity": 1},
        {"clip": -1, "attributes.shape": 1},
    ):
        assert fooled(compared(**fine), (), {}) is None, fine


def test_the_scorer_that_labelled_the_pairs_is_the_one_to_rise() -> None:
    """What it likes less is no sign that it was fooled; others may disagree with each other as they like."""
    labelled = ["pickscore"]
    assert "what labelled the pairs rises (pickscore) while another falls (clip)" in str(
        fooled(compared(clip=-1, pickscore=1, hps=1), labelled, {})
    )
    for fine in ({"clip": 1, "pickscore": -1}, {"clip": -1, "pickscore": 0, "hps": 1}):
        assert fooled(compared(**fine), labelled, {}) is None, fine
    assert fooled(compared(clip=-1, hps=1), labelled, {})  # it was not asked


def test_pairs_that_are_learned_and_pictures_that_score_lower() -> None:
    said = fooled(compared(clip=-1, pickscore=0), (), LEARNED)
    assert said == (
        "held-out pairs are told apart better than by the base (accuracy 0.70), but the pictures score lower (clip): "
        "what is learned does not show in them"
    )
    assert fooled(compared(clip=0, pickscore=1), (), LEARNED) is None
    assert fooled(compared(clip=-1, pickscore=0), (), NOT_LEARNED) is None
    assert fooled([], (), LEARNED) is None


def test_all_scores_fall() -> None:
    assert worse(compared(clip=-1, hps=-1)) == "the pictures score lower than the base's (clip, hps)"
    assert worse(compared(clip=-1, diversity=1)) is not None
    assert worse(compared(clip=-1, hps=0)) is None
    assert worse(compared(diversity=-1)) is None
    assert worse([]) is None


@pytest.mark.parametrize("shift", [0.2, 0.4, 0.6, 0.8])
@pytest.mark.parametrize("level", [0.95, 0.999])
def test_a_change_is_told_as_by_scipy(shift: float, level: float) -> None:
    own = shift + NOISE + NOISE[::-1]
    interval = ttest_1samp((own - NOISE).mean(axis=1), 0).confidence_interval(level)
    (found,) = compared(level, clip=shift)
    assert found.difference_interval == pytest.approx(tuple(interval), abs=1e-5)
    assert (fooled(compared(level, clip=shift, hps=-9), (), {}) is not None) == (interval.low > 0)


def test_images_that_are_alike() -> None:
    """A ratio of means; its interval must leave out 1."""
    base = np.array([1.0, 2.0, 3.0, 4.0])
    assert alike(base / 4, base, 0.95) == pytest.approx(0.25)  # each prompt alike: no error
    assert alike(base * 0.49, base, 0.95) == pytest.approx(0.49)
    assert alike(base * 0.51, base, 0.95) is None
    alone = np.array([0.0, 0.0, 0.0, 4.0])
    assert alone.mean() / base.mean() == 0.4 and alike(alone, base, 0.95) is None  # three of four, by chance
    assert alike(np.zeros(4), base, 0.999) == 0
    assert alike(base[:1] / 4, base[:1], 0.95) is None  # one prompt says nothing of chance
    assert alike(base, np.zeros(4), 0.95) is None


def test_the_interval_of_a_ratio() -> None:
    """Delta method, by hand: own - R base has the ratio's error, times the base's mean."""
    rng = np.random.default_rng(1)
    for _ in range(40):
        base = rng.uniform(1, 2, size=5)
        own = base * rng.uniform(0, 0.9, size=5)
        ratio = own.mean() / base.mean()
        high = ttest_1samp((own - ratio * base) / base.mean(), 0).confidence_interval(0.99).high
        rings = ratio < 0.5 and ratio + high < 1
        assert (alike(own, base, 0.99) is not None) == rings


def test_who_labelled_the_pairs() -> None:
    """As the manifest of a pair store has it: nobody, one scorer, or several."""
    assert labellers({}) == labellers({"relabel": None}) == []
    assert labellers({"relabel": {"name": "clip", "model": "x"}}) == ["clip"]
    several = {"name": "majority", "scorers": [{"name": "clip"}, {"name": "hps"}]}
    assert labellers({"relabel": several}) == ["clip", "hps"]
