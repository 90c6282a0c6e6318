"""Images ordered by how far their scores moved, against a plain loop."""

from __future__ import annotations

import statistics

import numpy as np
import pytest
from score_sets import score_set

from ddecli.core.errors import UserError
from ddecli.stats.changes import changes


def random_sets(metrics: tuple[str, ...], seed: int = 0):
    rng = np.random.default_rng(seed)
    base = {name: rng.normal(size=(6, 3)) for name in metrics}
    new = {name: values + rng.normal(size=values.shape) for name, values in base.items()}
    return score_set("dde", new, "dde"), score_set("base", base)


def test_the_same_as_a_plain_loop():
    a, b = random_sets(("clip", "hps"))
    found = changes(a, b)
    assert found is not None
    slow = {}
    for name in ("clip", "hps"):
        one, other = a.metrics[name], b.metrics[name]
        spread = statistics.pstdev(other.score.astype(float).tolist())
        for key, x, y in zip(
            zip(other.prompt_id, other.image_index, strict=True), one.score, other.score, strict=True
        ):
            slow[key] = slow.get(key, 0.0) + (float(x) - float(y)) / spread / 2
    order = sorted(slow, key=lambda key: -abs(slow[key]))
    assert [(each.prompt_id, each.image_index) for each in found.images] == order
    np.testing.assert_allclose([each.size for each in found.images], [slow[key] for key in order], rtol=1e-5)
    assert found.better == sum(size > 0 for size in slow.values())
    assert found.worse == sum(size < 0 for size in slow.values())
    assert found.better and found.worse
    assert any(each.size < 0 for each in found.images[: len(order) // 2])  # down counts as up does


def test_what_judges_alone_counts_and_else_what_there_is():
    a, b = random_sets(("attributes", "attributes.shape", "clip", "diversity", "truth"))
    judged = changes(a, b)
    assert judged is not None and judged.metrics == ("clip",)
    for each in (a, b):
        del each.metrics["clip"]
    others = changes(a, b)
    assert others is not None and others.metrics == ("attributes", "truth")
    for each in (a, b):
        del each.metrics["attributes"], each.metrics["truth"]
    assert changes(a, b) is None


def test_rounding_is_no_change_and_a_flat_metric_says_nothing():
    values = np.array([[0.5, 0.6], [0.7, 0.8]])
    a = score_set("dde", {"clip": values + np.array([[1e-6, 0], [0, 0.1]]), "hps": values}, "dde")
    b = score_set("base", {"clip": values, "hps": np.ones((2, 2))})
    found = changes(a, b)
    assert found is not None and found.metrics == ("clip",)
    assert (found.better, found.worse, len(found.images)) == (1, 0, 4)
    assert [each.size for each in found.images[1:]] == [0, 0, 0]


def test_other_images_are_refused():
    a, b = random_sets(("clip",))
    b.metrics["clip"] = score_set("base", {"clip": np.random.default_rng(1).normal(size=(6, 2))}).metrics[
        "clip"
    ]
    with pytest.raises(UserError, match="do not hold the same images"):
        changes(a, b)
