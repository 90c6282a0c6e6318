"""Which settings of a loss to take: the trial runs of a grid, judged on validation prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ddecli.core.errors import UserError
from ddecli.core.protocol import sampled_model
from ddecli.core.run_files import read_performance
from ddecli.core.scores import ScoreSet, check_same_protocol
from ddecli.objectives.registry import has_beta
from ddecli.stats.compare import check_same_images
from ddecli.stats.metrics import PAPER_METRICS
from ddecli.stats.trainings import run_settings_in, sampled_run

VARIED = ("beta", "lr")
BUDGET = ("steps", "batch_size", "warmup")


@dataclass(frozen=True)
class Trial:
    """One cell of the grid, with all its trainings.

    Attributes:
        gain: mean over trainings and judges of the difference to the base's mean, in units of the base's standard
            deviation over prompts, so that scales of scorers play no part.
        gains: of each training, in the order of `seeds`.
        means: every metric's mean over prompts and trainings.
        train_seconds: of one training, on average.
    """

    loss: str
    beta: float | None
    lr: float
    seeds: list[int]
    gain: float
    gains: list[float]
    means: dict[str, float]
    train_seconds: float | None


@dataclass(frozen=True)
class Choice:
    """The whole grid of one model, and the best trial of each loss."""

    protocol: dict[str, Any]
    judges: tuple[str, ...]
    budget: dict[str, Any]
    base: dict[str, float]
    trials: list[Trial]

    def best(self) -> dict[str, Trial]:
        """The trial with the largest gain of each loss, among those with the most trainings.

        One training may be lucky: where only the best cells were trained again, with other seeds, the choice is
        between those.
        """
        found: dict[str, Trial] = {}
        for trial in self.trials:
            rival = found.get(trial.loss)
            if rival is None or (len(trial.seeds), trial.gain) > (len(rival.seeds), rival.gain):
                found[trial.loss] = trial
        return found

    def at_edge(self) -> list[str]:
        """Losses whose best beta or learning rate is the smallest or largest that was tried for that loss."""
        edges = []
        for loss, best in self.best().items():
            for name in VARIED:
                tried = sorted({getattr(trial, name) for trial in self.trials if trial.loss == loss} - {None})
                value = getattr(best, name)
                if len(tried) > 1 and value in (tried[0], tried[-1]):
                    edges.append(f"{loss}: {name} {value:g}")
        return edges

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "protocol": self.protocol,
            "judges": list(self.judges),
            "budget": self.budget,
            "base": self.base,
            "rows": [asdict(trial) for trial in self.trials],
            "chosen": {
                loss: {name: getattr(best, name) for name in VARIED if getattr(best, name) is not None}
                for loss, best in self.best().items()
            },
            "at_edge": self.at_edge(),
        }


def choose(base: ScoreSet, trials: Sequence[ScoreSet], judges: Sequence[str] = PAPER_METRICS) -> Choice:
    """Judge the runs of a grid against their base model.

    Args:
        base: scores of the base model's images.
        trials: scores of the images of one run each; the run's settings are read from the folder that the
            images' protocol names.

    Raises:
        UserError: mixed protocols, a metric that is missing, a run whose run.yaml is gone, or runs of unequal
            budget, between which a choice would not be fair.
    """
    check_same_protocol([base, *trials])
    for scores in (base, *trials):
        missing = [name for name in judges if name not in scores.metrics]
        if missing:
            raise UserError(f"{scores.name} has no {missing[0]} scores: score it with --metric {missing[0]}.")
    settings = [_run_settings(scores) for scores in trials]
    budgets = [{name: each.get(name) for name in BUDGET} for each in settings]
    for scores, budget in zip(trials, budgets, strict=True):
        if budget != budgets[0]:
            raise UserError(
                f"{scores.name} was trained with {budget}, {trials[0].name} with {budgets[0]}: "
                "a choice is fair between equal budgets only."
            )
    means = {name: base.metric(name).prompt_means() for name in base.metrics}
    cells: dict[tuple[str, float, float | None], list[tuple[ScoreSet, dict[str, Any]]]] = {}
    for scores, run in zip(trials, settings, strict=True):
        for name in judges:
            check_same_images(scores, base, name)
        cells.setdefault(_cell(run), []).append((scores, run))
    rows = [_trial(*key, given, means, judges) for key, given in cells.items()]
    rows.sort(key=lambda trial: (trial.loss, trial.lr, trial.beta or 0.0))
    protocol = {key: value for key, value in base.protocol.items() if key != "model"}
    base_means = {name: float(values.mean()) for name, values in means.items()}
    return Choice(protocol, tuple(judges), budgets[0] if budgets else {}, base_means, rows)


def _trial(
    loss: str,
    lr: float,
    beta: float | None,
    given: list[tuple[ScoreSet, dict[str, Any]]],
    base: dict[str, np.ndarray],
    judges: Sequence[str],
) -> Trial:
    """The trainings of one cell together."""
    given = sorted(given, key=lambda each: each[1].get("seed", 0))
    seeds = [run.get("seed", 0) for _, run in given]
    if len(set(seeds)) < len(seeds):
        raise UserError(
            f"{given[0][0].name} and {given[1][0].name} are trials of the same settings and seed."
        )
    metrics = set.intersection(*(set(scores.metrics) for scores, _ in given))
    means = [
        {name: float(scores.metric(name).prompt_means().mean()) for name in metrics} for scores, _ in given
    ]
    gains = [
        float(np.mean([(found[name] - base[name].mean()) / base[name].std() for name in judges]))
        for found in means
    ]
    times = [run["train_seconds"] for _, run in given if run["train_seconds"] is not None]
    return Trial(
        loss=loss,
        beta=beta,
        lr=lr,
        seeds=seeds,
        gain=float(np.mean(gains)),
        gains=gains,
        means={name: float(np.mean([found[name] for found in means])) for name in sorted(metrics)},
        train_seconds=float(np.mean(times)) if times else None,
    )


def _cell(run: dict[str, Any]) -> tuple[str, float, float | None]:
    """Loss, learning rate and beta of a run."""
    try:
        return run["loss"], float(run["lr"]), float(run["beta"]) if has_beta(run["loss"]) else None
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{run['file']} is damaged: it must hold loss, lr and beta.") from error


def _run_settings(scores: ScoreSet) -> dict[str, Any]:
    """The run.yaml of the run that a folder's images were sampled from, and the time its training took."""
    run = sampled_run(scores.protocol)
    if run is None:
        model = sampled_model(scores.protocol) or "an unknown model"
        raise UserError(
            f"{scores.name} was sampled from {model}, which holds no run.yaml: run this where it lies."
        )
    seconds = read_performance(run).get("seconds")
    return run_settings_in(run) | {"file": run / "run.yaml", "train_seconds": seconds}
