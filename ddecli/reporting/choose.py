"""Which settings of a loss to take: the trial runs of a grid, judged on validation prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ddecli.core.errors import UserError
from ddecli.core.files import read_json
from ddecli.reporting.compare import check_same_images
from ddecli.reporting.scores import ScoreSet, check_same_protocol

JUDGES = ("clip", "hps", "pickscore")
"""The scorers that choose. Other metrics (truth, diversity) are recorded and play no part."""
VARIED = ("beta", "lr")
BUDGET = ("steps", "batch_size", "warmup", "seed")


@dataclass(frozen=True)
class Trial:
    """One cell of the grid.

    Attributes:
        gain: mean over the judges of the difference to the base's mean, in units of the base's standard
            deviation over prompts, so that scales of scorers play no part.
        means: every metric's mean over prompts.
    """

    loss: str
    beta: float | None
    lr: float
    gain: float
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
        """The trial with the largest gain of each loss; of equal ones the first."""
        found: dict[str, Trial] = {}
        for trial in self.trials:
            if trial.loss not in found or trial.gain > found[trial.loss].gain:
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


def choose(base: ScoreSet, trials: Sequence[ScoreSet], judges: Sequence[str] = JUDGES) -> Choice:
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
    rows = []
    for scores, run in zip(trials, settings, strict=True):
        for name in judges:
            check_same_images(scores, base, name)
        found = {name: float(scores.metric(name).prompt_means().mean()) for name in scores.metrics}
        gains = [(found[name] - means[name].mean()) / means[name].std() for name in judges]
        beta = None if run["loss"] == "sft" else float(run["beta"])
        rows.append(
            Trial(run["loss"], beta, float(run["lr"]), float(np.mean(gains)), found, run["train_seconds"])
        )
    rows.sort(key=lambda trial: (trial.loss, trial.lr, trial.beta or 0.0))
    protocol = {key: value for key, value in base.protocol.items() if key != "model"}
    base_means = {name: float(values.mean()) for name, values in means.items()}
    return Choice(protocol, tuple(judges), budgets[0] if budgets else {}, base_means, rows)


def _run_settings(scores: ScoreSet) -> dict[str, Any]:
    """The run.yaml of the run that a folder's images were sampled from, and the time its training took."""
    import yaml

    run = Path(str((scores.protocol.get("model") or {}).get("name", "")))
    if not (run / "run.yaml").is_file():
        raise UserError(
            f"{scores.name} was sampled from {run}, which holds no run.yaml: run this where it lies."
        )
    settings = yaml.safe_load((run / "run.yaml").read_text(encoding="utf-8"))
    performance = read_json(run / "perf.json") if (run / "perf.json").is_file() else {}
    return settings | {"train_seconds": performance.get("seconds")}
