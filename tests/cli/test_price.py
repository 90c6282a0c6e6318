"""`ddecli train --estimate` before there are data, in hours, memory and money."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cli_checks import assert_one_sentence

if TYPE_CHECKING:
    from conftest import Typed


def test_hours_memory_and_money_without_data(ddecli: Callable[..., Typed], sdxl_folder: Path) -> None:
    words = ["train", "--estimate", "--model", sdxl_folder, "--lora", 2, "--lr", 1e-5, "--steps", 1000]
    typed = ddecli(*words, "--batch-size", 4, "--price-per-hour", 3, "--json")
    assert typed.code == 0, typed.error
    found = json.loads(typed.out)
    assert found["cost"] == pytest.approx(3 * found["hours"]) and found["peak_memory_mb"] > 0
    assert found["hours"] == pytest.approx(1000 * found["seconds_per_step"] / 3600)
    assert "No --data: the steps are made on pairs of noise." in typed.error
    shown = ddecli(*words, "--batch-size", 4, "--price-per-hour", 3)
    assert "cost" in shown.out and "for 1,000 steps" in shown.out
    assert not list(Path().iterdir())


def test_a_tiny_model_prepares_nothing_for_it(ddecli: Callable[..., Typed]) -> None:
    assert ddecli("train", "--estimate", "--steps", 10, "--batch-size", 2).code == 0
    assert not list(Path().iterdir())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--price-per-hour", "2"), "goes with --estimate"),
        (("--estimate", "--price-per-hour", "-1"), "must be a price of 0 or more"),
        (("--estimate", "--price-per-hour", "nan"), "must be a price of 0 or more"),
    ],
)
def test_a_price_that_is_none(ddecli: Callable[..., Typed], words: tuple[str, ...], said: str) -> None:
    assert_one_sentence(ddecli("train", *words), "--price-per-hour", said)
