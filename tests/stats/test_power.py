"""Power: variances of a pilot against those that were put in, and the probability against simulated tables."""

from __future__ import annotations

import numpy as np
import pytest
from score_sets import score_set

from ddecli.core.errors import UserError
from ddecli.stats.intervals import corrected_level, estimate
from ddecli.stats.power import Pilot, pilot, pilot_of, power

TRUE = Pilot(prompt=0.04, image=0.02, training=0.01, interaction=0.03, rest=0.08, base_spread=0.5)


def drawn(rng, trainings, prompts, images, mean=0.0, true=TRUE):
    """Differences `(prompts, images, trainings)` that vary as `true` says."""

    def part(variance, *shape):
        return np.sqrt(variance) * rng.normal(size=shape)

    return (
        mean
        + part(true.prompt, prompts, 1, 1)
        + part(true.image, prompts, images, 1)
        + part(true.training, 1, 1, trainings)
        + part(true.interaction, prompts, 1, trainings)
        + part(true.rest, prompts, images, trainings)
    )


def test_a_pilot_finds_the_variances_that_were_put_in():
    rng = np.random.default_rng(0)
    found = pilot(drawn(rng, 40, 300, 3), 0.5)
    for name, tolerance in (
        ("prompt", 0.2), ("image", 0.15), ("training", 0.5), ("interaction", 0.1), ("rest", 0.05),
    ):  # fmt: skip
        assert getattr(found, name) == pytest.approx(getattr(TRUE, name), rel=tolerance), name
    assert found.base_spread == 0.5


def test_the_variance_of_a_mean_is_that_of_its_parts():
    rng = np.random.default_rng(1)
    means = [drawn(rng, 3, 20, 2).mean() for _ in range(4_000)]
    assert np.var(means) == pytest.approx(sum(TRUE.parts(3, 20, 2)), rel=0.08)


@pytest.mark.parametrize(
    ("trainings", "prompts", "images", "difference", "rows"),
    [(3, 100, 2, 0.5, 1), (6, 100, 2, 0.3, 6), (6, 200, 1, 0.5, 6), (4, 100, 1, 0.1, 1), (2, 50, 2, 1.0, 1)],
)
def test_the_probability_is_that_of_simulated_tables(trainings, prompts, images, difference, rows):
    rng = np.random.default_rng(trainings)
    level, tables = corrected_level(rows), 1_200
    decided = 0
    for _ in range(tables):
        values = drawn(rng, trainings, prompts, images, difference * TRUE.base_spread).mean(axis=1)
        decided += estimate(values).interval(level).low > 0
    expected = power(TRUE, difference, trainings, prompts, images, level)
    assert 0.05 < expected < 0.999
    assert decided / tables == pytest.approx(expected, abs=0.04)


def test_more_of_anything_decides_more():
    sizes = [(3, 100, 1), (6, 100, 1), (6, 400, 1), (6, 400, 4)]
    powers = [power(TRUE, 0.3, *each) for each in sizes]
    assert powers == sorted(powers)
    assert power(TRUE, 0.3, 6, 400, 1) > power(TRUE, 0.3, 6, 100, 4)  # prompts rather than images
    assert power(TRUE, 0.3, 6, 400, 1, 0.99) < power(TRUE, 0.3, 6, 400, 1, 0.95)
    still = Pilot(0.0, 0.0, 0.0, 0.0, 0.0, 1.0)
    assert (power(still, 0.1, 3, 10, 1), power(still, 0.0, 3, 10, 1)) == (1.0, 0.0)


def test_a_pilot_of_scored_folders():
    rng = np.random.default_rng(2)
    base = rng.normal(size=(30, 3))
    differences = drawn(rng, 3, 30, 3)
    trained = [score_set(f"t{k}", {"clip": base + differences[:, :, k]}, f"t{k}") for k in range(3)]
    before = score_set("base", {"clip": base})
    found, expected = pilot_of(before, trained, "clip"), pilot(differences, base.mean(axis=1).std())
    assert np.allclose(
        [getattr(found, name) for name in Pilot.__annotations__],
        [getattr(expected, name) for name in Pilot.__annotations__],
        atol=1e-5,
    )
    other = [score_set(f"o{k}", {"clip": base + 0.5 * differences[:, :, k]}, f"o{k}") for k in range(3)]
    half = pilot_of(before, trained, "clip", other)
    assert half.rest == pytest.approx(found.rest / 4, rel=1e-4)
    assert half.base_spread == found.base_spread
    with pytest.raises(UserError, match="3 trainings and 2 rivals make no pairs"):
        pilot_of(before, trained, "clip", other[:2])
    with pytest.raises(UserError, match="needs two or more trainings"):
        pilot_of(before, trained[:1], "clip")
    single = [score_set(name, {"clip": base[:, :1]}, name) for name in "abc"]
    with pytest.raises(UserError, match="1 to 1 images"):
        pilot_of(single[0], single[1:], "clip")
