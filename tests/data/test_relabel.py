"""A scorer decides which picture was preferred; the same picture twice is a tie, whatever its kernels round."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ddecli.core.errors import BadRow
from ddecli.data.relabel import Relabel, first_won

BRIGHT, DARK = (SimpleNamespace(for_scorer=Image.new("L", (1, 1), value)) for value in (200, 100))


def brightness(images: Any, prompts: Any) -> np.ndarray:
    """From 0 to 1; rounded by the place in the batch, as kernels of real scorers may."""
    return np.array([image.getpixel((0, 0)) / 255 * (1 + 2e-7 * i) for i, image in enumerate(images)])


def test_margins_and_ties() -> None:
    pair: Any = SimpleNamespace(prompt="a")
    both: Any = [(pair, (BRIGHT, DARK)), (pair, (DARK, BRIGHT)), (pair, (BRIGHT, BRIGHT))]
    gaps = Relabel({"name": "brightness"}, Image.Image.copy, brightness).score_gaps(both)
    assert gaps[:2] == pytest.approx([100 / 255, -100 / 255], abs=1e-5)
    assert first_won(gaps[0]) and not first_won(gaps[1])
    with pytest.raises(BadRow, match="tie"):
        first_won(gaps[2])
