"""Published prompt sets by name: from the user's own copy, from the Hugging Face hub, or from the package."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path, PurePosixPath

from ddecli.core.console import console
from ddecli.core.errors import UserError
from ddecli.core.hub import hub_files
from ddecli.core.prompts import COLUMNS, read_prompts

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
        tuple(f"benchmark/{style}.json" for style in ("anime", "concept-art", "paintings", "photo")),
        "prompt",
        3200,
    ),
}
NAMES = (*PUBLISHED, IMAGENET)


def prompts_by_name(name: str, path: Path | None = None) -> list[str]:
    """The prompts of a published set in their order, repeated ones included.

    A number of prompts other than the published one is said, not refused.

    Args:
        name: one of `NAMES`.
        path: the user's own copy: a file, or a folder with the files as they are published; None takes the hub.

    Raises:
        UserError: the copy lacks a file or the column, or neither cache nor network has the set.
    """
    if name == IMAGENET:
        if path is not None:
            raise UserError(f"{IMAGENET} comes with ddecli and is read from no file: leave out ={path}.")
        return imagenet_prompts()
    published = PUBLISHED[name]
    if path is not None and not path.is_dir():
        files = [path]
    else:
        files = _files_in(path, name) if path is not None else _files_of_hub(name)
    columns = (published.column, *COLUMNS)
    prompts = [prompt for file in files for prompt in read_prompts(file, columns)]
    if len(prompts) != published.count:
        console.print(
            f"{name}: {len(prompts)} prompts were read, {published.count} are published: a part, or another version.",
        )
    return prompts


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
        flat = PurePosixPath(pattern).name
        found = sorted(folder.glob(pattern)) or sorted(folder.glob(flat))
        if not found:
            raise UserError(f"{folder} has no {flat} of {name}: give the file itself, or put it there.")
        files += found
    return files
