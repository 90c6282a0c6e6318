"""A scorer decides which picture was preferred; the same picture twice is a tie, whatever its kernels round."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ddecli.core.errors import BadRow
from ddecli.data.relabel import PairScorer, Relabel, first_won, gaps_of

BRIGHT, DARK = (SimpleNamespace(image=Image.new("L", (1, 1), value)) for value in (200, 100))


def brightness(images: Any, prompts: Any) -> np.ndarray:
    """From 0 to 1; rounded by the place in the batch, as kernels of real scorers may."""
    return np.array([image.getpixel((0, 0)) / 255 * (1 + 2e-7 * i) for i, image in enumerate(images)])


def test_margins_and_ties() -> None:
    pair: Any = SimpleNamespace(prompt="a")
    both: Any = [(pair, (BRIGHT, DARK)), (pair, (DARK, BRIGHT)), (pair, (BRIGHT, BRIGHT))]
    scorer = PairScorer({"name": "brightness"}, Image.Image.copy, brightness)
    for picture in (BRIGHT, DARK):
        picture.for_scorer = Relabel([scorer]).preprocess(picture.image)
    gaps = Relabel([scorer]).score_gaps(both)
    assert gaps[:2] == pytest.approx([100 / 255, -100 / 255], abs=1e-5)
    assert first_won(gaps[0]) and not first_won(gaps[1])
    with pytest.raises(BadRow, match="tie"):
        first_won(gaps[2])


def test_one_scorer_gives_its_gap_and_several_their_votes() -> None:
    """Against a vote that is counted pair by pair."""
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 3, 200)).round(1) * np.array([1, 20, 0.01])[:, None]
    thresholds = [0.3, 0.0, 0.005]
    for number in range(3):
        some = slice(number, number + 1)
        found = gaps_of(first[some], second[some], thresholds[some])
        gaps = first[number] - second[number]
        assert found.tolist() == np.where(np.abs(gaps) < max(thresholds[number], 1e-9), 0, gaps).tolist()
    draws = 0
    for pair, lead in enumerate(gaps_of(first, second, thresholds).tolist()):
        for_first = for_second = 0
        for a, b, threshold in zip(first[:, pair], second[:, pair], thresholds, strict=True):
            for_first += a - b >= threshold and a > b
            for_second += b - a >= threshold and b > a
        assert lead == pytest.approx((for_first - for_second) / 3)
        draws += lead == 0
    assert 0 < draws < 100


def test_a_score_that_is_no_number_decides_nothing() -> None:
    first, second = np.array([[1.0, np.nan, np.inf], [1.0, 1.0, 1.0]]), np.zeros((2, 3))
    lead = gaps_of(first, second, [0, 0])
    assert lead[0] == 1
    for gap in lead[1:]:
        with pytest.raises(BadRow, match="score not finite"):
            first_won(gap)
