"""What an experiment shows: every figure of its paper folder, and the description that `ddecli report` reads."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ddecli.objectives.registry import known_loss
from ddecli.workflow.inputs import content, files_of, model_paths
from ddecli.workflow.options import Options, flags
from ddecli.workflow.plan import BASE, Plan, Wildcards
from ddecli.workflow.runs import regime_runs, sampled_runs, segment_run

SUFFIXES = ("png", "pdf", "json")


@dataclass(frozen=True)
class FigureSettings:
    """One figure: its kind, and the rows of a model that it shows by their images or by their trainings.

    options: of `ddecli figure`, besides its title.
    """

    kind: str
    title: str
    model: str
    images: Sequence[str] = ()
    runs: Sequence[str] = ()
    options: Options = field(default_factory=dict)


class FigureJobs:
    """All figures, by the names of their files; most are of the first model. Functions take a job's wildcards."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        first, *others = plan.models
        self.all = _of_first(plan, first)
        for model in plan.models:
            regime = list(regime_runs(plan.config, model))
            if regime:
                title = f"{model}: credit over training, until logits saturate"
                name = "credit-steps" if model == first else f"credit-steps-{model}"
                self.all[name] = FigureSettings("credit-steps", title, model, runs=regime)
        for model in others:
            rows = plan.rows(model)
            title = f"{model}: images side by side"
            self.all[f"images-{model}"] = FigureSettings("images", title, model, images=rows)
            title = f"{model}: beat ratios over the base model"
            self.all[f"beat-ratios-{model}"] = FigureSettings("beat-ratios", title, model, images=rows)

    def files(self) -> list[str]:
        """What they leave."""
        return [f"{self.plan.paper}/figures/{name}.{suffix}" for name in self.all for suffix in SUFFIXES]

    def inputs(self, wildcards: Wildcards) -> list[str]:
        """Scores or records of credit; of a figure that shows no rows its model."""
        figure = self.all[wildcards.name]
        if figure.images:
            return self.plan.scores(figure.model, figure.images)
        return self.plan.credits(figure.model, figure.runs) or files_of(self._paths(figure))

    def rows(self, wildcards: Wildcards) -> str:
        """LABEL=FOLDER arguments; side by side stand the images of one training of each method, the first."""
        figure, plan = self.all[wildcards.name], self.plan
        if figure.kind == "images":
            firsts = [plan.images(figure.model, [run])[0] for run in figure.images]
            names = [plan.label(figure.model, run) for run in figure.images]
            return shlex.join(f"{name}={folder}" for name, folder in zip(names, firsts, strict=True))
        if figure.images:
            return plan.labelled(figure.model, figure.images, plan.images(figure.model, figure.images))
        return plan.labelled(figure.model, figure.runs, plan.run_folders(figure.model, figure.runs))

    def kind(self, wildcards: Wildcards) -> str:
        """What `ddecli figure` calls it."""
        return self.all[wildcards.name].kind

    def options(self, wildcards: Wildcards) -> str:
        """The options of its command."""
        figure = self.all[wildcards.name]
        return flags({"title": figure.title, **figure.options})

    def content(self, wildcards: Wildcards) -> str:
        """What tells that the model changed that a figure is of."""
        return content(self._paths(self.all[wildcards.name]))

    def _paths(self, figure: FigureSettings) -> list[str]:
        return model_paths(figure.options["model"]) if "model" in figure.options else []


def _of_first(plan: Plan, model: str) -> dict[str, FigureSettings]:
    """The figures of the first model alone."""
    settings = plan.models[model]
    methods, rows = plan.methods(model), plan.rows(model)
    losses = {run: known_loss(settings["methods"][run]["loss"]) for run in methods}
    compared = [run for run in methods if losses[run].has_beta]
    with_logits = [run for run in methods if losses[run].has_logit]
    corrected = [run for run in methods if losses[run].is_corrected]
    found = {
        "beat-ratios": FigureSettings("beat-ratios", "Beat ratios over the base model", model, images=rows),
        "coefficients": FigureSettings(
            "coefficients", "Coefficients by timestep", model, options={"model": settings["source"]}
        ),
        "curves": FigureSettings("curves", "Training curves", model, runs=methods),
        "images": FigureSettings("images", f"{model}: images side by side", model, images=rows),
    }
    if with_logits:
        title = "Where the logits lie on the log-sigmoid"
        found["log-sigmoid"] = FigureSettings("log-sigmoid", title, model, runs=with_logits)
    if compared:
        title = "Credit map: gradient weight by timestep"
        found["credit"] = FigureSettings("credit", title, model, runs=compared)
    if corrected:
        title = "Correction terms and their convergence"
        found["corrections"] = FigureSettings("corrections", title, model, runs=corrected)
    segments = settings.get("segments")
    if segments:
        whole = next(run for run in methods if losses[run].name == segments["loss"])
        parts = [segment_run(plan.config, model, part) for part in segments["ranges"]]
        found["segments"] = FigureSettings(
            "segments",
            "Training on parts of the trajectory",
            model,
            images=[BASE, whole, *parts],
            options={"metric": settings["score"].get("metric", [])},
        )
    return found


class ExperimentDescription:
    """The description of the experiment, which says which folders play which role, and what the report waits for."""

    def __init__(self, plan: Plan, figures: FigureJobs) -> None:
        self.plan = plan
        self.shown = figures

    def inputs(self, wildcards: Wildcards) -> list[str]:
        """All scores, Inception Scores and runs that claims are judged by."""
        plan, found = self.plan, []
        for model in plan.models:
            runs = sampled_runs(plan.config, model)
            found += plan.scores(model, [BASE, *runs]) + plan.credits(model, runs)
            found += plan.credits(model, regime_runs(plan.config, model))
            second = plan.second_guidance(model).values()
            found += [f"{folder}/scores.parquet" for folders in second for folder in folders]
        if 4 in plan.config["tables"]:
            found += plan.measured(4)
        return found + list(self.grid(wildcards).values())

    def tables(self, wildcards: Wildcards) -> dict[int, str]:
        """The paper's tables."""
        return {number: f"{self.plan.paper}/table{number}.json" for number in self.plan.config["tables"]}

    def models(self, wildcards: Wildcards) -> dict[str, dict[str, Any]]:
        """Folders by role, of every model."""
        return {model: self._model(model, settings) for model, settings in self.plan.models.items()}

    def figures(self, wildcards: Wildcards) -> list[dict[str, str]]:
        """Files and titles, in the order in which they are shown."""
        return [
            {"file": f"figures/{name}.png", "title": figure.title} for name, figure in self.shown.all.items()
        ]

    def grid(self, wildcards: Wildcards) -> dict[str, str]:
        """The records that beta and learning rate were chosen from, by model."""
        records = {model: self.plan.record(model) for model in self.plan.models}
        return {model: record for model, record in records.items() if record}

    def _model(self, model: str, settings: dict[str, Any]) -> dict[str, Any]:
        plan = self.plan
        found: dict[str, Any] = {
            "paper": settings.get("paper"),
            "methods": {
                run: {"label": method["label"], "loss": method["loss"]}
                for run, method in settings["methods"].items()
            },
            "scores": {run: plan.images(model, [run]) for run in plan.rows(model)},
            "runs": {run: plan.run_folders(model, [run]) for run in plan.methods(model)},
        }
        if settings.get("segments"):
            found["segments"] = {
                part: plan.images(model, [segment_run(plan.config, model, part)])
                for part in settings["segments"]["ranges"]
            }
        if settings.get("regime"):
            regime = regime_runs(plan.config, model)
            found["regime"] = {
                loss: plan.run_folders(model, [run for run in regime if regime[run].loss == loss])
                for loss in settings["regime"]["losses"]
            }
        if settings.get("second-guidance"):
            found["second_guidance"] = plan.second_guidance(model)
        if model in plan.config["tables"].get(4, {}):
            after = plan.config["tables"][4][model]
            found["inception"] = {run: plan.images(model, [run], "classes") for run in (BASE, after)}
        return found
