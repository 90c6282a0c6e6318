"""What is known of the paper's own tables."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from ddecli.core.files import read_yaml
from ddecli.objectives.registry import method_of

NOT_AVAILABLE = "not available"


@cache
def _numbers() -> dict[Any, Any]:
    return read_yaml(Path(__file__).with_name("paper_numbers.yaml"))


def tables() -> list[int]:
    """Numbers of the paper's tables that can be rebuilt."""
    return [key for key in _numbers() if isinstance(key, int)]


def title() -> str:
    """The paper's title."""
    return _numbers()["source"]


def training_pairs(model: str) -> int:
    """Pairs that the paper's training of SD15 or SDXL saw: steps times batch size."""
    budget = _numbers()["training"][model]
    return budget["steps"] * budget["batch_size"]


def evaluation() -> dict[str, int]:
    """Prompts (at the least) and images a prompt that the paper's scores are means over."""
    return _numbers()["evaluation"]


def metrics(number: int) -> list[str]:
    """Metrics of a table, in the paper's order."""
    return _numbers()[number]["metrics"]


def note(number: int) -> str:
    """Where the paper's figures come from, and what they belong to."""
    numbers = _numbers()
    return (
        f'Paper: figures for {numbers[number]["model"]} that the text of "{numbers["source"]}" states; '
        "another model or other scorers give other sizes."
    )


def figure(number: int, label: str, metric: str) -> str:
    """The paper's figure for a row and metric, or "not available"."""
    return _numbers()[number]["figures"].get(method_of(label), {}).get(metric, NOT_AVAILABLE)
