"""Everything that was measured in an experiment, read from disk and checked to be what it is said to be."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ddecli.core.errors import UserError
from ddecli.core.protocol import spacing_of
from ddecli.core.run_files import ITERATIONS, read_performance
from ddecli.core.scores import ScoreSet, check_same_protocol, load_scores
from ddecli.objectives.registry import LOSSES
from ddecli.reproduction.experiment import BASE, Experiment, Folders, ModelFolders
from ddecli.stats.compare import pairs_won
from ddecli.stats.intervals import ratio_values
from ddecli.stats.rows import ScoredRow, prompt_means, scored_rows
from ddecli.stats.runs import Credit, Metrics, load_credit, load_metrics
from ddecli.stats.trainings import run_settings, run_settings_in, training_seeds
from ddecli.tables.inception_table import InceptionResult, load_inception
from ddecli.tables.notes import and_list

LABELS = {name: loss.label for name, loss in LOSSES.items()}
"""Methods as the paper's tables call them; other methods keep their names."""
SEGMENT_LOSS = "uniform"
T = TypeVar("T")

Coefficients = Callable[[str], np.ndarray]
"""Single-shot coefficients `c_t`, `(T,)`, of a model's noise schedule, by the model's name."""
LastSampled = Callable[[str, int, str], int]
"""The largest timestep that DDIM visits on a model's schedule, by the model's name, the steps and their spacing."""


@dataclass(frozen=True)
class TrainedRun:
    """One training: its resolved settings, credit map, metrics by step, and perf.json (empty if it has none)."""

    name: str
    settings: dict[str, Any]
    credit: Credit
    metrics: Metrics
    performance: dict[str, Any]


@dataclass
class ModelEvidence:
    """What was measured of one model.

    Attributes:
        name: what the experiment calls it.
        paper: SD15 or SDXL, if it stands for one of them.
        scores: score sets, one a training, of `base`, of every method, and of every segment (as "0.3-0.4").
        segments: the segments among the scores.
        runs, inception: by method.
        regime: trainings until logits saturate, at one or several beta, by loss.
        labels: of the methods that are not called by their names.
        losses: what each method was trained with on the whole trajectory, as far as that is known.
        coefficients: `c_t` of the noise schedule, `(T,)`; None where it could not be had.
        second_guidance: as `scores`, at another guidance scale.
        last_sampled: the largest timestep that sampling visited; None where it is not known.
    """

    name: str
    paper: str | None
    scores: dict[str, list[ScoreSet]]
    segments: list[str]
    runs: dict[str, list[TrainedRun]]
    inception: dict[str, list[InceptionResult]]
    labels: dict[str, str] = field(default_factory=dict)
    losses: dict[str, str] = field(default_factory=dict)
    coefficients: np.ndarray | None = None
    last_sampled: int | None = None
    regime: dict[str, list[TrainedRun]] = field(default_factory=dict)
    second_guidance: dict[str, list[ScoreSet]] = field(default_factory=dict)
    _rows: dict[str, dict[str, ScoredRow]] = field(default_factory=dict, repr=False)
    _ratios: dict[str, dict[str, ScoredRow]] = field(default_factory=dict, repr=False)

    @property
    def base(self) -> ScoreSet:
        """The base model's scores."""
        return self.scores[BASE][0]

    @property
    def methods(self) -> list[str]:
        """The scored methods, without base and segments."""
        return [name for name in self.scores if name != BASE and name not in self.segments]

    def label(self, row: str) -> str:
        """What the report calls a row: its label, the paper's name of a method, the model's name for the base."""
        return self.name if row == BASE else self.labels.get(row) or LABELS.get(row, row)

    def trained_with(self, loss: str) -> list[str]:
        """The methods that stand for a loss: the one that is called like it, else all that were trained with it."""
        named = [method for method, trained in self.losses.items() if trained == loss]
        return [loss] if loss in named else named

    def row_of(self, part: str) -> str:
        """The row that plays a part in the paper's claims: a loss's method, whatever it is called, or `part` itself."""
        found = self.trained_with(part)
        return found[0] if len(found) == 1 else part

    def runs_of(self, part: str) -> list[TrainedRun]:
        """The trainings of the method that plays a part; empty where there is none."""
        return self.runs.get(self.row_of(part), [])

    def absent(self, part: str) -> str:
        """What the report calls a part that no row plays, with the reason where several could."""
        several = self.trained_with(part)
        if len(several) > 1:
            return f"one method alone with the loss {part} ({and_list(several)} have it; call the one meant {part})"
        return f"training on {part}" if part[0].isdigit() else self.label(part)

    def rows(self, metric: str) -> dict[str, ScoredRow]:
        """Every row that has a metric, with its means by prompt and training."""
        if metric not in self._rows:
            having = {
                name: given
                for name, given in self.scores.items()
                if all(metric in scores.metrics for scores in given)
            }
            seeds = {name: self.seeds_of(name) for name in having}
            self._rows[metric] = scored_rows(prompt_means(having, metric), seeds) if BASE in having else {}
        return self._rows[metric]

    def seeds_of(self, row: str) -> tuple[int, ...] | None:
        """The training seeds of a row; None of the base, or where they are not known."""
        return None if row == BASE else training_seeds(self.scores[row])

    def beat_ratios(self, metric: str) -> dict[str, ScoredRow]:
        """Share of image pairs in which a row beats the base, ties half, of every row that has a metric."""
        if metric not in self._ratios:
            trained = [row for row in self.rows(metric) if row != BASE]
            self._ratios[metric] = {row: self._beat_ratio(row, metric) for row in trained}
        return self._ratios[metric]

    def _beat_ratio(self, row: str, metric: str) -> ScoredRow:
        base = self.base.metric(metric)
        pairs = [pairs_won(scores.metric(metric), base) for scores in self.scores[row]]
        won, images = np.stack([each for each, _ in pairs], axis=1), pairs[0][1][:, None]
        return ScoredRow(ratio_values(won, images), self.seeds_of(row))

    def rows_beside(self, row: str) -> int:
        """Number of rows in the table or figure that a row is shown in, the base left out."""
        return len(self.segments) + 1 if row in self.segments else len(self.methods)

    def lacks(self, rows: Sequence[str], metrics: Sequence[str]) -> str:
        """What is missing for a comparison of rows in metrics, in words; empty if nothing is."""
        absent = [row for row in dict.fromkeys(rows) if row not in self.scores]
        if absent:
            return f"no scores of {', '.join(self.absent(row) for row in absent)}"
        for metric in metrics:
            unscored = [self.label(row) for row in rows if row not in self.rows(metric)]
            if unscored:
                return f"no {metric} scores of {', '.join(dict.fromkeys(unscored))}"
        return ""


@dataclass(frozen=True)
class Evidence:
    """All models of an experiment."""

    models: dict[str, ModelEvidence]

    def of(self, paper: str) -> ModelEvidence | None:
        """The model that stands for one of the paper's, SD15 or SDXL."""
        return next((model for model in self.models.values() if model.paper == paper), None)


def load_evidence(
    experiment: Experiment, coefficients: Coefficients, last_sampled: LastSampled | None = None
) -> Evidence:
    """Read everything that an experiment names, except its tables, figures and grid.

    Args:
        coefficients: gives the single-shot coefficients of a model; where it cannot (UserError) there are none.
        last_sampled: gives the largest timestep that sampling visits, in the same way.

    Raises:
        UserError: something is missing or damaged, protocols are mixed, or a folder was made by another method
            than the one it is listed under.
    """
    models = {}
    for name, folders in experiment.models.items():
        scores = _scores(folders)
        runs = {method: [_run(folder) for folder in given] for method, given in folders.runs.items()}
        for method, given in runs.items():
            for run in given:
                _check_settings(run.name, run.settings, method, _declared_loss(folders, method))
        regime = {loss: [_run(folder) for folder in given] for loss, given in folders.regime.items()}
        for loss, given in regime.items():
            for run in given:
                _check_settings(run.name, run.settings, loss, loss)
        inception = {row: [load_inception(f) for f in given] for row, given in folders.inception.items()}
        if inception:
            check_same_protocol([each for given in inception.values() for each in given])
        models[name] = model = ModelEvidence(
            name, folders.paper, scores, list(folders.segments), runs, inception,
            {method: about.label for method, about in folders.methods.items() if about.label},
            _losses(folders, scores, runs), _of_source([runs, regime], coefficients),
            _last_sampled([runs, regime], scores[BASE][0].protocol, last_sampled), regime,
            _load_scores(folders.second_guidance, folders),
        )  # fmt: skip
        labels = [model.label(row) for row in scores]
        for label in labels:
            if labels.count(label) > 1:
                raise UserError(
                    f"Two rows of {name} are called {label}: give each method a label of its own."
                )
    return Evidence(models)


def _scores(folders: ModelFolders) -> dict[str, list[ScoreSet]]:
    clash = set(folders.scores) & set(folders.segments)
    if clash:
        raise UserError(f"{clash.pop()} is both a method and a segment: give the method another name.")
    return _load_scores(folders.scores | folders.segments, folders)


def _load_scores(listed: Folders, folders: ModelFolders) -> dict[str, list[ScoreSet]]:
    """Scores by row, each made by what it is listed under."""
    scores = {row: [load_scores(folder) for folder in given] for row, given in listed.items()}
    if scores:
        check_same_protocol([each for given in scores.values() for each in given])
    for row, given in scores.items():
        for each in given:
            source = run_settings(each.protocol)
            if source:
                segment = row if row in folders.segments else None
                loss = SEGMENT_LOSS if segment else _declared_loss(folders, row)
                _check_settings(each.name, source, row, loss, segment)
    return scores


def _declared_loss(folders: ModelFolders, method: str) -> str | None:
    """The loss that a method is said to have been trained with, by its description or by its name."""
    about = folders.methods.get(method)
    return about.loss if about and about.loss else method if method in LABELS else None


def _losses(
    folders: ModelFolders, scores: Mapping[str, list[ScoreSet]], runs: Mapping[str, list[TrainedRun]]
) -> dict[str, str]:
    """The loss of each method: as its runs have it, else as it is declared; none of training on a segment."""
    found = {}
    for method in [*folders.scores, *folders.runs, *folders.inception]:
        settings = [run.settings for run in runs.get(method, [])]
        settings += [run_settings(each.protocol) for each in scores.get(method, [])]
        known = {(each.get("loss"), each.get("segment")) for each in settings if each}
        loss = _declared_loss(folders, method) if not known else known.pop()[0] if len(known) == 1 else None
        if method != BASE and loss and not any(each.get("segment") for each in settings):
            found[method] = str(loss)
    return found


def _check_settings(
    name: str, settings: Mapping[str, Any], row: str, loss: str | None, segment: str | None = None
) -> None:
    """Refuse a folder that was made by another method than the one it is listed under.

    Args:
        loss: that it is said to have been trained with; None: any.
        segment: that it is said to have been trained on; of a method that is called otherwise than its loss any.
    """
    if loss is not None and settings.get("loss") != loss:
        raise UserError(
            f"{name} is listed under {row if row == loss else f'{row} ({loss})'}, but was trained with the loss "
            f"{settings.get('loss')}."
        )
    if (segment is not None or row in LABELS) and settings.get("segment") != segment:
        raise UserError(
            f"{name} is listed under {row}, but was trained on the segment {settings.get('segment') or '0-1'}."
        )


def _run(folder: Path) -> TrainedRun:
    file = folder / "run.yaml"
    if not file.is_file():
        raise UserError(f"{folder} holds no run.yaml: give the folder of a run of `ddecli train`.")
    settings = run_settings_in(folder, complete=True)
    performance = read_performance(folder)
    others = [read_performance(other) for other in sorted(folder.glob(ITERATIONS))]
    if others and "seconds" in performance:
        performance |= {"seconds": sum(each.get("seconds", 0.0) for each in (*others, performance))}
    return TrainedRun(str(folder), settings, load_credit(folder), load_metrics(folder), performance)


def _last_sampled(
    runs: Sequence[Mapping[str, list[TrainedRun]]],
    protocol: Mapping[str, Any],
    last_sampled: LastSampled | None,
) -> int | None:
    """The largest timestep that images of a protocol were sampled with; None where it was not DDIM."""
    steps, spacing = protocol.get("steps"), spacing_of(protocol)
    if last_sampled is None or not isinstance(steps, int) or spacing is None:
        return None
    return _of_source(runs, lambda model: last_sampled(model, steps, spacing))


def _of_source(runs: Sequence[Mapping[str, list[TrainedRun]]], found: Callable[[str], T]) -> T | None:
    """What is found of the model that the runs started from."""
    every = [run for kind in runs for given in kind.values() for run in given]
    sources = {str(run.settings.get("model")) for run in every}
    for source in sorted(sources):
        try:
            return found(source)
        except UserError:
            continue
    return None
