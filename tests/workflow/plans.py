"""Run the workflow in a folder of its own, for real or with commands that take no time, and read its plans."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import fake_ddecli

ROOT = Path(__file__).parents[2]
SNAKEFILE = ROOT / "Snakefile"


def snakemake(folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the workflow in a folder; where that has `bin/ddecli`, with it."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", SNAKEFILE, "--directory", folder]
    if "--cores" not in arguments:
        command += ["--cores", "2"]
    command += ["--max-jobs-per-timespan", "1000/1s"]  # the profile's span is 10 s, which the end waits for
    path = os.pathsep.join([str(folder / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]])
    return subprocess.run(
        [str(word) for word in [*command, *arguments]],
        cwd=folder,
        env=os.environ | {"PATH": path, "HF_HUB_OFFLINE": "1"},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def install_fake(folder: Path) -> None:
    """Put a `ddecli` into the folder that leaves files and does no work."""
    script = folder / "bin" / "ddecli"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "{fake_ddecli.__file__}" "$@"\n')
    script.chmod(0o755)


def jobs(output: str) -> dict[str, int]:
    """The numbers of jobs in a dry run's statistics."""
    lines = output[output.rindex("Job stats:") :].splitlines()[3:]
    return {name: int(count) for name, count in (line.split() for line in lines[: lines.index("")])}


def planned_rules(output: str) -> list[tuple[str, str]]:
    """The jobs of a dry run as they are printed, each with the name of its rule."""
    texts = re.findall(r"^((?:local)?rule (\S+):\n(?:    .*\n)*)", output, re.MULTILINE)
    return [(name, text) for text, name in texts]


def planned(output: str) -> set[str]:
    """The jobs of a dry run: `train sd15 dde 0`, the rule and its wildcards."""
    found = set()
    for name, text in planned_rules(output):
        wildcards = re.search(r"^    wildcards: (.*)$", text, re.MULTILINE)
        values = re.findall(r"=([^,]*)", wildcards[1]) if wildcards else []
        found.add(" ".join([name, *values]))
    return found
