"""Prompt sets by name or by path: the user's own copy, the Hugging Face hub's, or the package's."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path, PurePosixPath

from ddecli.core.console import console
from ddecli.core.errors import UserError
from ddecli.core.hub import hub_files
from ddecli.core.prompts import COLUMNS, PromptRow
from ddecli.sampling.benchmarks import (
    FILES,
    REQUIRED,
    STYLES,
    TITLES,
    benchmark_of,
    read_benchmark,
    read_list,
)

IMAGENET = "imagenet-classes"
RENAMED_CLASSES = {
    134: "bird crane",
    517: "machine crane",
    638: "maillot swimsuit",
    639: "maillot tanksuit",  # WordNet's "maillot, tank suit"
}
"""Index to name of the four classes whose names stand twice, as the paper calls them (section 8.2)."""


@dataclass(frozen=True)
class PublishedPrompts:
    """A data set on the Hugging Face hub.

    files: names or patterns in the repository, in the order of the prompts.
    column: of the prompts, where the files are tables.
    count: how many prompts are published, repeated ones included.
    """

    repository: str
    files: tuple[str, ...]
    column: str
    count: int


PUBLISHED = {
    "pickapic-validation": PublishedPrompts(
        "yuvalkirstain/pickapic_v2", ("data/validation_unique-*.parquet",), "caption", 500
    ),
    "partiprompts": PublishedPrompts("nateraw/parti-prompts", ("PartiPrompts.tsv",), "Prompt", 1632),
    "hpsv2": PublishedPrompts(
        "zhwang/HPDv2",
        tuple(f"benchmark/{style}.json" for style in STYLES),
        "prompt",
        3200,
    ),
}
NAMES = (*PUBLISHED, IMAGENET, *REQUIRED)


def rows_by_name(name: str, path: Path | None = None) -> list[PromptRow]:
    """The prompts of a published set in their order, repeated ones included, with what is said of each.

    A number of prompts other than the published one is said, not refused.

    Args:
        name: one of `NAMES`.
        path: the user's own copy: a file, or a folder with the files as they are published; None takes the hub.

    Raises:
        UserError: the copy lacks a file or the column, or neither cache nor network has the set.
    """
    if name in REQUIRED:
        if path is None:
            raise UserError(
                f"{TITLES[name]} is read from your own copy: give {name}=PATH, which is {FILES[name]}."
            )
        return read_benchmark(name, path)
    if name == IMAGENET:
        if path is not None:
            raise UserError(f"{IMAGENET} comes with ddecli and is read from no file: leave out ={path}.")
        return [PromptRow(prompt) for prompt in imagenet_prompts()]
    published = PUBLISHED[name]
    if path is not None and not path.is_dir():
        files = [path]
    else:
        files = _files_in(path, name) if path is not None else _files_of_hub(name)
    columns = (published.column, *COLUMNS)
    rows = [row for file in files for row in read_list(file, columns)]
    if len(rows) != published.count:
        console.print(
            f"{name}: {len(rows)} prompts were read, {published.count} are published: a part, or another version.",
        )
    return rows


def rows_by_path(path: Path) -> list[PromptRow]:
    """The prompts of a file, or of a benchmark's folder, with what is said of each.

    Raises:
        UserError: it cannot be read, or is a folder without prompts.
    """
    if path.is_dir() and _has_files(path, "hpsv2"):
        return rows_by_name("hpsv2", path)
    if name := benchmark_of(path):
        return read_benchmark(name, path)
    if path.is_dir():
        raise UserError(
            f"{path} is a folder without prompts: give a file in it, or the folder of DPG-Bench, T2I-CompBench or "
            "HPSv2."
        )
    return read_list(path)


def imagenet_classes() -> list[str]:
    """Names of the 1000 ILSVRC-2012 classes by index, with the paper's names for those that stand twice."""
    text = resources.files("ddecli.sampling").joinpath("imagenet-classes.tsv").read_text(encoding="utf-8")
    names = [line.split("\t")[1] for line in text.splitlines() if not line.startswith("#")]
    return [RENAMED_CLASSES.get(index, name) for index, name in enumerate(names)]


def imagenet_prompts() -> list[str]:
    """The prompt "A photo of <class name>" for each of 1000 classes, all different (section 8.2 of the paper)."""
    return [f"A photo of {name}" for name in imagenet_classes()]


def _files_of_hub(name: str) -> list[Path]:
    published = PUBLISHED[name]
    include = " ".join(f"--include '{pattern}'" for pattern in published.files)
    folder = hub_files(
        published.repository,
        published.files,
        f"The prompts of {name}",
        f"run `hf download {published.repository} --repo-type dataset {include} --local-dir FOLDER` where there is a "
        f"network, and give --prompts {name}=FOLDER",
        repo_type="dataset",
    )
    return [file for pattern in published.files for file in sorted(folder.glob(pattern))]


def _files_in(folder: Path, name: str) -> list[Path]:
    """The set's files in a folder, laid out as on the hub or flat."""
    files = []
    for pattern in PUBLISHED[name].files:
        found = _matching(folder, pattern)
        if not found:
            flat = PurePosixPath(pattern).name
            raise UserError(f"{folder} has no {flat} of {name}: give the file itself, or put it there.")
        files += found
    return files


def _has_files(folder: Path, name: str) -> bool:
    return all(_matching(folder, pattern) for pattern in PUBLISHED[name].files)


def _matching(folder: Path, pattern: str) -> list[Path]:
    return sorted(folder.glob(pattern)) or sorted(folder.glob(PurePosixPath(pattern).name))
