"""What an experiment's configuration asks for: its trainings, where what they leave lies, and what tables show.

The rules in `workflow/rules` ask here and hold no functions of their own. What is asked of one job takes its wildcards
as Snakemake gives them, and reads them by attribute.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ddecli.workflow.options import flags
from ddecli.workflow.runs import Config, all_runs, grid_runs

Wildcards = Any
"""Snakemake's, or whatever else has a job's `model`, `run`, `number`, ... as attributes."""
BASE = "base"
"""What stands for the model itself where a run's name is asked for."""
MEASURED = {2: "scores.parquet", 3: "scores.parquet", 4: "inception.json"}
"""The file of a folder of images that each of the paper's tables reads."""
TABLE_FILES = ("md", "csv", "tex", "json")


class Plan:
    """The trainings of an experiment, and the paths of what they leave.

    A run is a row of tables, or a cell of a grid; it has one training a seed.

    Attributes:
        config: with the schema's defaults filled in, checked.
        models: its section of models, by name.
        runs: every trained run of every model, by its name in paths.
        results: folder of what the report is made from.
        paper: folder of tables, figures and the report.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.models: dict[str, dict[str, Any]] = config["models"]
        self.runs = all_runs(config)
        self.results: str = config["pathvars"]["results"]
        self.paper: str = config["pathvars"]["paper"]

    def methods(self, model: str) -> list[str]:
        """Names of a model's methods, the trained rows of its tables."""
        return list(self.models[model]["methods"])

    def rows(self, model: str) -> list[str]:
        """The rows of a model's tables: the base and every method."""
        return [BASE, *self.methods(model)]

    def label(self, model: str, run: str) -> str:
        """What tables and figures call a run."""
        if run == BASE:
            return model
        method = self.models[model]["methods"].get(run)
        return method["label"] if method else self.runs[model][run].label

    def trainings(self, model: str, run: str) -> list[str]:
        """The trainings of a run as they appear in paths; of the base the base itself."""
        return [BASE] if run == BASE else [f"{run}/seed-{seed}" for seed in self.runs[model][run].seeds]

    def images(self, model: str, runs: Iterable[str], split: str = "test") -> list[str]:
        """Folders of images, one a training, of several runs."""
        return [
            f"{self.results}/images/{model}/{each}/{split}"
            for run in runs
            for each in self.trainings(model, run)
        ]

    def scores(self, model: str, runs: Iterable[str], split: str = "test") -> list[str]:
        """Their scores."""
        return [f"{folder}/scores.parquet" for folder in self.images(model, runs, split)]

    def run_folders(self, model: str, runs: Iterable[str]) -> list[str]:
        """Folders of the trainings themselves."""
        return [f"{self.results}/runs/{model}/{each}" for run in runs for each in self.trainings(model, run)]

    def credits(self, model: str, runs: Iterable[str]) -> list[str]:
        """Their records of credit."""
        return [f"{folder}/credit.npz" for folder in self.run_folders(model, runs)]

    def second_guidance(self, model: str) -> dict[str, list[str]]:
        """Folders of images at a model's second guidance scale, of its rows' first trainings; empty without one."""
        second = self.models[model].get("second-guidance")
        if not second:
            return {}
        return {
            run: self.images(model, [run], "second-guidance")[: second["seeds"]] for run in self.rows(model)
        }

    def labelled(self, model: str, runs: Sequence[str], paths: Sequence[str]) -> str:
        """LABEL=PATH arguments, one a training, for tables and figures."""
        names = [self.label(model, run) for run in runs for _ in self.trainings(model, run)]
        return shlex.join(f"{name}={path}" for name, path in zip(names, paths, strict=True))

    def with_grid(self) -> list[str]:
        """The models whose settings a grid can choose."""
        return [name for name, settings in self.models.items() if "grid" in settings]

    def record(self, model: str) -> str | None:
        """The record that a model's settings are chosen from: one that is kept, or the grid that is run here.

        None where ddecli's recipes rule.
        """
        given = self.models[model]["choices"]
        if given == "recipe":
            return None
        return f"{self.results}/grid/{model}.json" if given == "grid" else str(given)

    def record_of(self, wildcards: Wildcards) -> str | None:
        """The same, for the job that takes one loss's settings out of it."""
        return self.record(wildcards.model)

    def grid_scores(self, wildcards: Wildcards) -> list[str]:
        """What such a record is made from."""
        return self.scores(wildcards.model, [BASE, *grid_runs(self.config, wildcards.model)], "validation")

    def grid_folders(self, wildcards: Wildcards) -> list[str]:
        """The folders that these lie in."""
        return [str(Path(file).parent) for file in self.grid_scores(wildcards)]

    def judges(self, wildcards: Wildcards) -> str:
        """The options that say which scores choose."""
        return flags({"metric": self.config["grid"]["judges"]})

    def table_files(self) -> list[str]:
        """All tables: the paper's, and one a model."""
        names = [f"table{number}" for number in self.config["tables"]]
        names += [f"table-{model}" for model in self.models]
        return [f"{self.paper}/{name}.{suffix}" for name in names for suffix in TABLE_FILES]

    def measured(self, number: int) -> list[str]:
        """What one of the paper's tables is made from."""
        return [f"{folder}/{MEASURED[number]}" for _, _, folder in self._table(number)]

    def table_inputs(self, wildcards: Wildcards) -> list[str]:
        """The same, for its job."""
        return self.measured(int(wildcards.number))

    def table_rows(self, wildcards: Wildcards) -> list[str]:
        """LABEL=FOLDER arguments; in table 4 a trained row is MODEL+METHOD."""
        number, found = int(wildcards.number), []
        for model, run, folder in self._table(number):
            name = self.label(model, run)
            found.append(f"{model}+{name}={folder}" if number == 4 and run != BASE else f"{name}={folder}")
        return found

    def _table(self, number: int) -> list[tuple[str, str, str]]:
        """(model, run, folder of images) of all that a table compares, the base first."""
        table, split = self.config["tables"][number], "classes" if number == 4 else "test"
        if number == 4:
            rows = [(model, run) for model, method in table.items() for run in (BASE, method)]
        else:
            rows = [(table["model"], run) for run in (BASE, *table["methods"])]
        return [(model, run, folder) for model, run in rows for folder in self.images(model, [run], split)]

    def model_scores(self, wildcards: Wildcards) -> list[str]:
        """What the table of a model with all of its methods is made from."""
        return self.scores(wildcards.model, self.rows(wildcards.model))

    def model_rows(self, wildcards: Wildcards) -> str:
        """LABEL=FOLDER arguments: the base and every method of a model."""
        model, runs = wildcards.model, self.rows(wildcards.model)
        return self.labelled(model, runs, self.images(model, runs))
