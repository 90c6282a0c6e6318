"""What a shell is offered for an option's value when Tab is pressed. Imports nothing heavy, or Tab would wait."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

Complete = Callable[[str], list[str]]


def among(words: Iterable[str]) -> Complete:
    """Offers those of some words that begin as what was typed."""
    known = list(words)

    def complete(incomplete: str) -> list[str]:
        return [word for word in known if word.startswith(incomplete)]

    return complete


def losses(incomplete: str) -> list[str]:
    """Names of losses, those by which they are also called among them."""
    from ddecli.objectives.registry import LOSSES

    return among(name for loss in LOSSES.values() for name in (loss.name, *loss.also))(incomplete)


def metrics(incomplete: str) -> list[str]:
    """Names of metrics."""
    from ddecli.scoring.published import METRICS

    return among(METRICS)(incomplete)


def models(incomplete: str) -> list[str]:
    """Presets, and whatever lies there: folders, runs among them, and checkpoint files."""
    from ddecli.models.presets import presets

    folder, _, begin = incomplete.rpartition("/")
    try:
        there = sorted(Path(folder or ("/" if incomplete.startswith("/") else ".")).iterdir())
    except OSError:
        there = []
    found = [
        f"{path.name}/" if path.is_dir() else path.name
        for path in there
        if path.name.startswith(begin) and (path.is_dir() or path.suffix == ".safetensors")
    ]
    prefix = incomplete[: len(incomplete) - len(begin)]
    return [*among(presets())(incomplete), *(prefix + name for name in found if begin or name[0] != ".")]


BY_SETTING = {"loss": losses, "model": models, "sample_metric": metrics}
"""Of the settings of a training, by name."""
