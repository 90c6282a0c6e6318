"""The jobs of a command: which files they read, and the options that they give it."""

from __future__ import annotations

from pathlib import Path

from ddecli.workflow.inputs import ENCODERS, content, files_of, model_paths, read_paths
from ddecli.workflow.options import NotRecorded, Options, flags, split_rounding
from ddecli.workflow.plan import BASE, Plan, Wildcards
from ddecli.workflow.runs import GRID, second_sample


class Jobs:
    """All jobs of a command; every function takes the wildcards of one.

    Args:
        command: `prepare`, `train`, `sample`, `score` or `inception`.
    """

    def __init__(self, plan: Plan, command: str) -> None:
        self.plan = plan
        self.command = command

    def options(self, wildcards: Wildcards) -> str:
        """The options that decide what a job makes."""
        return flags(split_rounding(self.command, self._settings(wildcards))[0])

    def speed(self, wildcards: Wildcards) -> NotRecorded:
        """The others, of speed, memory and rounding: a job is not done again for them."""
        return NotRecorded(flags(split_rounding(self.command, self._settings(wildcards))[1]))

    def files(self, wildcards: Wildcards) -> list[str]:
        """The files among the paths from outside that a job reads."""
        return files_of(self._paths(wildcards))

    def content(self, wildcards: Wildcards) -> str:
        """What tells that something changed at these paths: Snakemake does not look into folders."""
        return content(self._paths(wildcards))

    def source(self, wildcards: Wildcards) -> str:
        """The model that a job begins with, as the command is given it."""
        return str(self.plan.models[wildcards.model]["source"])

    def _settings(self, wildcards: Wildcards) -> Options:
        """All options, of both kinds."""
        model = self.plan.models[wildcards.model]
        if self.command == "train":
            run = self.plan.runs[wildcards.model][wildcards.run]
            return {"model": model["source"], "loss": run.loss} | model["train"] | run.options
        if self.command == "sample":
            if wildcards.split == "validation":
                return self.plan.config["grid"]["sample"]
            if wildcards.split == "second-guidance":
                return second_sample(model)
            return model["classes" if wildcards.split == "classes" else "sample"]
        return model[self.command]

    def _paths(self, wildcards: Wildcards) -> list[str]:
        """The model, and what options name; the model of a run was read by its training."""
        named = read_paths(self.command, self._settings(wildcards), self.plan.results)
        if self.command == "prepare":
            return model_paths(self.source(wildcards), ENCODERS) + named
        if self.command == "train" or (self.command == "sample" and wildcards.trained == BASE):
            return model_paths(self.source(wildcards)) + named
        return named


class TrainJobs(Jobs):
    """Those of `ddecli train`, whose beta and learning rate may come from a file."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan, "train")

    def choice(self, wildcards: Wildcards) -> list[str]:
        """The file with beta and learning rate of a run's loss; none for the grid itself, or where the recipe rules."""
        chosen = self.plan.models[wildcards.model]["choices"] != "recipe"
        loss = self.plan.runs[wildcards.model][wildcards.run].loss
        if not chosen or wildcards.run.startswith(GRID):
            return []
        return [f"{self.plan.results}/choices/{wildcards.model}/{loss}.yaml"]

    def config(self, wildcards: Wildcards, input: Wildcards) -> str:
        """The option that gives it to the command."""
        return f"--config {input.choice}" if input.choice else ""


class SampleJobs(Jobs):
    """Those of `ddecli sample`, which draw with a base model or a finished training."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan, "sample")

    def run(self, wildcards: Wildcards) -> list[str]:
        """The training that images are made with; a base model needs none."""
        if wildcards.trained == BASE:
            return []
        return [f"{self.plan.results}/runs/{wildcards.model}/{wildcards.trained}/perf.json"]

    def model(self, wildcards: Wildcards, input: Wildcards) -> str:
        """What the command is given: its folder, or the base model."""
        return str(Path(input.run[0]).parent) if input.run else self.source(wildcards)

    def shard(self, wildcards: Wildcards) -> str:
        """Snakemake's 1-of-4 is ddecli's 1/4."""
        return str(wildcards.scatteritem.replace("-of-", "/"))
