"""The workflow's own files: a wheel carries them, in a copy of the repository they lie beside the package."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path

import ddecli
from ddecli.core.errors import UserError
from ddecli.core.files import atomic_file, atomic_folder

SNAKEFILE, FOLDER = Path("Snakefile"), Path("workflow")
CHOICES = Path("benchmarks") / "results"
"""Where the records of `ddecli choose` lie that configurations name."""
LEFT_OUT = ("__pycache__", "envs", "demo.sh", "*.sif")
"""Of the workflow's folder: what is made, and what needs a copy of the repository."""


def source_folder() -> Path:
    """Where they lie.

    Raises:
        UserError: neither in the package nor beside it.
    """
    package = Path(ddecli.__file__).parent
    for folder in (package / "workflow" / "files", package.parent):
        if (folder / SNAKEFILE).is_file() and (folder / FOLDER).is_dir():
            return folder
    raise UserError(
        "This installation of ddecli has no workflow: install it again, from a wheel or its repository."
    )


def write_workflow(folder: Path) -> None:
    """Copy Snakefile, workflow/ and the records that its configurations name to a folder, whatever else it holds.

    Raises:
        UserError: one of them is there already, or the folder cannot be written.
    """
    source = source_folder()
    records = sorted(file.relative_to(source) for file in (source / CHOICES).glob("grid-*.json"))
    for name in (SNAKEFILE, FOLDER, *records):
        if (folder / name).exists():
            raise UserError(f"{folder / name} exists: choose another folder, or move it away.")
    with atomic_folder(folder / FOLDER) as temporary:
        shutil.copytree(
            source / FOLDER, temporary, ignore=shutil.ignore_patterns(*LEFT_OUT), dirs_exist_ok=True
        )
    for file in (*records, SNAKEFILE):
        with atomic_file(folder / file) as temporary:
            shutil.copyfile(source / file, temporary)


def has_snakemake() -> bool:
    """Whether it is installed in this environment."""
    return find_spec("snakemake") is not None
