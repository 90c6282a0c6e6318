"""Scores of the images on a run's contact sheets, beside those of its base's."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from ddecli.core.console import console
from ddecli.core.scores import ScoreSet
from ddecli.core.units import mebibytes
from ddecli.scoring.published import ScorerSource, scorer_source
from ddecli.scoring.score import Scorers, ScoringSettings, load_scorer, score_images
from ddecli.scoring.scorer import Scorer
from ddecli.scoring.sources import read_source
from ddecli.stats.compare import MetricComparison
from ddecli.stats.metrics import is_part


class KeptScorers(Scorers):
    """The scorers of a run, each loaded once: they stay in main memory, and one is on the device while it scores."""

    def __init__(self, device: str | torch.device) -> None:
        super().__init__(device)
        self.kept: dict[tuple[str, ScorerSource], Scorer] = {}

    def __call__(self, metric: str, source: ScorerSource) -> Scorer:
        """See `load_scorer`."""
        self.put_away()
        found = self.kept.get((metric, source))
        if found is None:
            found = self.kept[metric, source] = load_scorer(metric, source, self.device)
        found.model.to(self.device)
        return found

    def put_away(self) -> None:
        """Leave the device's memory to training."""
        for scorer in self.kept.values():
            scorer.model.to("cpu")
        if torch.device(self.device).type == "cuda":
            torch.cuda.empty_cache()

    @property
    def mebibytes(self) -> float:
        """Of their weights."""
        sizes = (
            each.numel() * each.element_size()
            for scorer in self.kept.values()
            for each in scorer.model.state_dict().values()
        )
        return sum(sizes) / 2**20


class SheetScores:
    """Scores images of a run beside its base's: as `ddecli score` does, and into the same files."""

    def __init__(self, settings: ScoringSettings, base: Path) -> None:
        """Load the scorers, and say what they take.

        Args:
            base: the sample folder of the base's images.

        Raises:
            UserError: one cannot be loaded.
        """
        self.settings, self.base = settings, base
        self.scorers = KeptScorers(settings.device)
        with self._aside():
            for metric in settings.metrics:
                self.scorers(metric, scorer_source(metric, settings.scorer_set, settings.folders))
        where = "" if torch.device(settings.device).type == "cpu" else f", one at a time on {settings.device}"
        console.print(
            f"Sheets are scored by {', '.join(settings.metrics)}: {mebibytes(self.scorers.mebibytes)} of main memory "
            f"while the run lasts{where}."
        )

    def score(self, folder: Path) -> ScoreSet:
        """Scores of a sample folder, which are left in it, each metric that was asked for and what comes beside it.

        Raises:
            UserError: it cannot be scored, or not written to.
        """
        with self._aside():
            found = score_images(read_source([folder]), self.settings, folder, self.scorers, quiet=True)
        shown = {name: values for name, values in found.metrics.items() if not is_part(name)}
        return replace(found, metrics=shown)

    @functools.cached_property
    def of_base(self) -> ScoreSet:
        """Scores of the base's images."""
        return self.score(self.base)

    @contextlib.contextmanager
    def _aside(self) -> Iterator[None]:
        """Within it float32 is float32, as `ddecli score` has it; after it training has its numbers and memory back."""
        tf32 = torch.backends.cuda.matmul.allow_tf32
        devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
        with torch.random.fork_rng(devices=devices):
            try:
                torch.backends.cuda.matmul.allow_tf32 = False
                yield
            finally:
                torch.backends.cuda.matmul.allow_tf32 = tf32
                self.scorers.put_away()


def numbers(compared: Sequence[MetricComparison]) -> dict[str, float | None]:
    """What samples.jsonl and trackers get: of each metric its mean, the difference to the base and its interval."""
    found: dict[str, float | None] = {}
    for each in compared:
        low, high = each.difference_interval or (None, None)
        found |= {
            each.metric: each.mean_a,
            f"{each.metric}_difference": each.difference,
            f"{each.metric}_low": low,
            f"{each.metric}_high": high,
        }
    return found


def lines(compared: Sequence[MetricComparison]) -> list[tuple[str, bool]]:
    """A line a metric, at most 80 characters, and whether its interval excludes 0."""
    found = []
    for each in compared:
        interval = each.difference_interval
        reach = "" if interval is None else f" ({interval.low:+.4f} .. {interval.high:+.4f})"
        text = f"{each.metric:<11} {each.mean_a:8.4f}   {each.difference:+.4f}{reach}"
        found.append((text, interval is not None and interval.excludes(0)))
    return found
