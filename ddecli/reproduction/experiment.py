"""The description of an experiment: which folders play which part in the reproduction."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ddecli.core.errors import UserError
from ddecli.core.files import read_yaml
from ddecli.core.segments import parse_segment

Folders = dict[str, list[Path]]
BASE = "base"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Method(_Strict):
    """What is known of a method beside its name."""

    label: str | None = Field(None, description="what tables and the report call it")
    loss: str | None = Field(None, description="what it was trained with, where its runs are not at hand")


class ModelFolders(_Strict):
    """What was measured of one model, by method; every list holds a folder a training seed."""

    paper: Literal["SD15", "SDXL"] | None = Field(
        None, description="the paper's model that it stands for, if the paper's claims are to be tested"
    )
    methods: dict[str, Method] = Field(
        {}, description="labels and losses; else a method is called by its name"
    )
    scores: Folders = Field(description="scored images of `base` and of the methods")
    segments: Folders = Field({}, description="scored images after uniform training on a segment")
    runs: Folders = Field({}, description="run folders of the methods")
    regime: Folders = Field(
        {}, description="run folders of trainings until logits saturate, at one or several beta, by loss"
    )
    second_guidance: Folders = Field(
        {}, description="scored images of `base` and of methods at another guidance scale"
    )
    inception: Folders = Field({}, description="folders with inception.json, of `base` and of a method")

    @field_validator("scores", "segments", "runs", "regime", "second_guidance", "inception")
    @classmethod
    def _no_empty_lists(cls, folders: Folders) -> Folders:
        for name, given in folders.items():
            if not given:
                raise ValueError(f"{name} has no folder; leave it out")
            if len({folder.resolve() for folder in given}) < len(given):
                raise ValueError(f"{name} names one folder twice; give one folder for each training seed")
        return folders

    @field_validator("scores", "second_guidance", "inception")
    @classmethod
    def _one_base(cls, folders: Folders) -> Folders:
        if folders and len(folders.get(BASE, ())) != 1:
            raise ValueError("base must be there, with one folder: it is what all else is compared with")
        return folders

    @model_validator(mode="after")
    def _described(self) -> ModelFolders:
        for name in self.second_guidance:
            if name not in self.scores:
                raise ValueError(
                    f"second_guidance names {name!r}, of which there are no scores to compare with"
                )
        for name in self.methods:
            if name not in self.scores | self.runs | self.inception:
                raise ValueError(
                    f"methods names {name!r}, of which there are no scores, runs or Inception Scores"
                )
        return self

    @field_validator("segments")
    @classmethod
    def _segments(cls, folders: Folders) -> Folders:
        for name in folders:
            try:
                parse_segment(name)
            except UserError as error:
                raise ValueError(str(error)) from error
        return folders


class ReportFigure(_Strict):
    """A figure of the report; `file` is relative to the folder that the report is written to."""

    file: Path
    title: str
    caption: str = ""


class Experiment(_Strict):
    """An experiment; paths are relative to the working directory."""

    name: str
    title: str
    tables: dict[Literal[2, 3, 4], Path] = Field({}, description="outputs of `ddecli table N --json`")
    models: dict[str, ModelFolders] = Field(min_length=1)
    figures: list[ReportFigure] = []
    changes: list[str] = Field([], description="what is not as in an earlier state of the experiment")
    grid: Path | dict[str, Path] | None = Field(
        None,
        description="the record that beta and learning rates were chosen from; of the first model, or by model",
    )

    @model_validator(mode="after")
    def _models(self) -> Experiment:
        papers = [model.paper for model in self.models.values() if model.paper]
        for paper in papers:
            if papers.count(paper) > 1:
                raise ValueError(f"two models stand for the paper's {paper}; each may have one")
        for name in self.grids():
            if name not in self.models:
                raise ValueError(f"grid names {name!r}, which is no model of the experiment")
        return self

    def grids(self) -> dict[str, Path]:
        """The record of each model that has one."""
        if isinstance(self.grid, Path):
            return {next(iter(self.models)): self.grid}
        return self.grid or {}


def read_experiment(path: Path) -> Experiment:
    """Read an experiment's description.

    Raises:
        UserError: the file is missing, is no YAML, or has a key or value that is not understood.
    """
    values = read_yaml(path)
    try:
        return Experiment(**values)
    except (ValidationError, TypeError) as error:
        raise UserError(f"{path}: {_first(error)}.") from error


def _first(error: ValidationError | TypeError) -> str:
    if isinstance(error, TypeError):
        return "its keys must be names"
    errors = error.errors()  # a key that is unknown may be the one that is missing
    first = next((each for each in errors if each["type"] == "extra_forbidden"), errors[0])
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"{place} is no known key; correct or remove it"
    what = first["msg"].removeprefix("Value error, ").rstrip(".")
    return f"{place}: {what}" if place else what
