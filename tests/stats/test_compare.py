"""Intervals against slow loops and closed forms, beat ratios by hand."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binomtest, norm, ttest_1samp
from score_sets import card, score_set

from ddecli.core.errors import UserError
from ddecli.core.scores import MetricScores
from ddecli.stats.compare import compare, summarize


def two_sets(prompts=30, images=4, seed=0, shift=0.1):
    rng = np.random.default_rng(seed)
    base = 1 + rng.normal(size=(prompts, 1)) * 0.1 + rng.normal(size=(prompts, images)) * 0.05
    better = base + shift + rng.normal(size=(prompts, images)) * 0.1
    return score_set("dde", {"clip": better}, "dde"), score_set("base", {"clip": base})


def slow_intervals(a, b, draws, seed):
    """Draw whole prompts one at a time and compute everything from their images."""
    rng = random.Random(seed)
    one, other = a.metrics["clip"], b.metrics["clip"]
    prompts = sorted(set(one.prompt_id.tolist()))
    pairs = {
        p: [
            (float(x), float(y))
            for q, x, y in zip(one.prompt_id, one.score, other.score, strict=True)
            if q == p
        ]
        for p in prompts
    }
    differences, gains, ratios = [], [], []
    for _ in range(draws):
        drawn = [pairs[rng.choice(prompts)] for _ in prompts]
        mean_a = sum(sum(x for x, _ in p) / len(p) for p in drawn) / len(drawn)
        mean_b = sum(sum(y for _, y in p) / len(p) for p in drawn) / len(drawn)
        flat = [pair for p in drawn for pair in p]
        differences.append(mean_a - mean_b)
        gains.append(100 * (mean_a - mean_b) / mean_b)
        ratios.append(sum(1.0 if x > y else 0.5 if x == y else 0.0 for x, y in flat) / len(flat))
    return [np.percentile(values, [2.5, 97.5]) for values in (differences, gains, ratios)]


def test_intervals_agree_with_a_slow_loop():
    a, b = two_sets(prompts=20, images=3)
    (found,) = compare(a, b)
    slow = slow_intervals(a, b, 2_000, seed=7)
    for interval, expected in zip(
        (found.difference_interval, found.gain_interval, found.beat_interval), slow, strict=True
    ):
        width = expected[1] - expected[0]
        np.testing.assert_allclose(interval, expected, atol=0.1 * width)


def test_difference_interval_is_the_normal_one_for_many_prompts():
    a, b = two_sets(prompts=1_000, images=2)
    (found,) = compare(a, b)
    differences = a.metric("clip").prompt_means() - b.metric("clip").prompt_means()
    error = differences.std(ddof=1) / np.sqrt(len(differences))
    expected = differences.mean() + norm.ppf([0.025, 0.975]) * error
    np.testing.assert_allclose(found.difference_interval, expected, atol=0.1 * error)


def test_intervals_cover_the_truth():
    covered = 0
    for seed in range(120):
        a, b = two_sets(prompts=40, images=2, seed=seed, shift=0.05)
        (found,) = compare(a, b)
        covered += found.difference_interval.low <= 0.05 <= found.difference_interval.high
    assert 105 <= covered <= 119  # 95 % of 120 is 114


def test_prompts_not_images_are_counted():
    rng = np.random.default_rng(3)
    base = np.ones((50, 8))
    a = score_set("dde", {"clip": base + rng.normal(size=(50, 1)) + 0.01 * rng.normal(size=(50, 8))})
    b = score_set("base", {"clip": base})
    (found,) = compare(a, b)
    low, high = ttest_1samp(a.metric("clip").score - 1, 0).confidence_interval()
    clustered = found.difference_interval.high - found.difference_interval.low
    assert clustered / (high - low) == pytest.approx(np.sqrt(8), rel=0.15)


def test_beat_ratio_counts_ties_half_and_the_sign_test_leaves_them_out():
    a = score_set("dde", {"clip": [[2, 2], [1, 3], [1, 1], [5, 0]]})
    b = score_set("base", {"clip": [[1, 2], [1, 1], [1, 1], [1, 1]]})
    (found,) = compare(a, b)
    # wins: (0,0), (1,1), (3,0); ties: (0,1), (1,0), (2,0), (2,1); loss: (3,1)
    assert found.beat_ratio == (3 + 4 / 2) / 8
    assert found.tie_share == 4 / 8
    assert found.pairs == 8
    assert found.prompts == 4
    assert (
        found.sign_test_p == binomtest(3, 3).pvalue == 0.25
    )  # prompts 0, 1, 3 are better, prompt 2 is a tie
    assert found.mean_a == 15 / 8
    assert found.gain_percent == pytest.approx(100 * (15 / 8 / (9 / 8) - 1))


def test_sign_test_agrees_with_scipy():
    a, b = two_sets(prompts=25, shift=0.01)
    (found,) = compare(a, b)
    wins = int((a.metric("clip").prompt_means() > b.metric("clip").prompt_means()).sum())
    assert found.sign_test_p == binomtest(wins, 25, 0.5).pvalue


def test_the_order_of_rows_changes_nothing():
    a, b = two_sets()
    clip = a.metrics["clip"]
    order = np.random.default_rng(1).permutation(len(clip.score))
    turned = MetricScores(clip.prompt_id[order], clip.image_index[order], clip.score[order])
    shuffled = replace(a, metrics={"clip": turned})
    assert compare(shuffled, b) == compare(a, b)
    assert summarize(shuffled) == summarize(a)


def test_a_set_against_itself_is_a_tie():
    a, _ = two_sets()
    (found,) = compare(a, a)
    assert (found.difference, found.gain_percent, found.beat_ratio, found.tie_share) == (0, 0, 0.5, 1)
    assert found.sign_test_p == 1


def test_what_kernels_round_is_a_tie():
    rng = np.random.default_rng(0)
    for scale in (0.01, 0.3, 1.0, 20.0):  # a small difference, two kinds of cosines, PickScore
        values = scale * (1 + 0.1 * rng.standard_normal((6, 4)))
        rounded = values * (1 + 1e-6 * rng.standard_normal((6, 4)))
        (found,) = compare(score_set("a", {"clip": rounded}), score_set("b", {"clip": values}))
        assert (found.beat_ratio, found.tie_share, found.sign_test_p) == (0.5, 1, 1)
        better = values + 3e-5 * scale + 1e-5
        (found,) = compare(score_set("a", {"clip": better}), score_set("b", {"clip": values}))
        assert (found.beat_ratio, found.tie_share) == (1, 0)


def test_uneven_numbers_of_images_are_averaged_within_their_prompt_first():
    a, b = two_sets(prompts=2, images=2)
    for scores, values in ((a, [3.0, 1.0, 5.0]), (b, [1.0, 1.0, 1.0])):
        clip = scores.metrics["clip"]
        scores.metrics["clip"] = MetricScores(clip.prompt_id[:3], clip.image_index[:3], np.array(values))
    (found,) = compare(a, b)
    assert found.mean_a == ((3 + 1) / 2 + 5) / 2
    assert found.beat_ratio == pytest.approx((2 + 0.5) / 3)


def test_one_prompt_has_no_interval():
    a, b = two_sets(prompts=1)
    (found,) = compare(a, b)
    assert found.difference_interval is found.gain_interval is found.beat_interval is None
    assert summarize(a)[0].standard_error is None


def test_no_percentage_of_a_base_that_is_not_above_zero():
    a, b = score_set("a", {"truth": [[1.0], [2.0]]}), score_set("b", {"truth": [[-3.0], [1.0]]})
    (found,) = compare(a, b)
    assert found.gain_percent is found.gain_interval is None
    assert found.difference == 2.5


def test_metrics_of_both_are_compared():
    varied = np.arange(6.0).reshape(3, 2)
    a = score_set("a", {"clip": np.ones((3, 2)), "diversity": varied})
    b = score_set("b", {"clip": np.ones((3, 2)), "diversity": varied + 1, "hps": np.ones((3, 2))})
    clip, diversity = compare(a, b)
    assert (clip.metric, diversity.metric) == ("clip", "diversity")
    assert (diversity.difference, diversity.pairs, diversity.prompts) == (-1, 6, 3)


def test_standard_error_is_clustered():
    a = score_set("a", {"clip": [[1.0, 1.0], [3.0, 3.0], [5.0, 5.0]]})
    (found,) = summarize(a)
    assert found.mean == 3
    assert found.standard_error == pytest.approx(2 / np.sqrt(3))
    assert (found.prompts, found.images) == (3, 6)


def test_different_images_are_refused():
    a, b = score_set("a", {"clip": np.ones((3, 2))}), score_set("b", {"clip": np.ones((4, 2))})
    with pytest.raises(UserError, match=r"prompt 000000000003, image 0 has a clip score only in b;"):
        compare(a, b)


def test_nothing_in_common_is_refused():
    a, b = score_set("a", {"clip": np.ones((3, 2))}), score_set("b", {"hps": np.ones((3, 2))})
    with pytest.raises(UserError, match="no metric in common"):
        compare(a, b)


def test_protocols_and_scorers_are_not_mixed():
    a = score_set("a", {"clip": np.ones((3, 2))}, model="one")
    with pytest.raises(UserError, match=r"guidance_scale is 2.0 in the first and 7.5 in the second"):
        compare(a, score_set("b", {"clip": np.ones((3, 2))}, guidance_scale=7.5))
    other = score_set("b", {"clip": np.ones((3, 2))}, model="two")
    with pytest.raises(
        UserError, match=r"the scorer's clip.revision is r1 in the first and r2 in the second"
    ):
        compare(a, replace(other, scorers={"clip": card("clip", revision="r2")}))
    assert compare(a, other)


def test_samples_of_other_timesteps_are_not_compared() -> None:
    scores = np.random.default_rng(0).normal(size=(5, 2))
    ddim = {"sampler": "DDIM (eta 0)"}
    old, new, trailing = (
        score_set(name, {"clip": scores}, **ddim, **spacing)
        for name, spacing in (("old", {}), ("new", {"spacing": "leading"}), ("far", {"spacing": "trailing"}))
    )
    compare(new, old)
    for first, second in ((trailing, old), (trailing, new)):
        with pytest.raises(UserError, match="spacing is trailing in the first and leading in the second"):
            compare(first, second)
