"""How an experiment was made: configuration, versions, machine, and the time that every kind of job took."""

import csv
import json
import os
import platform
from importlib.metadata import version
from pathlib import Path

PACKAGES = ("ddecli", "torch", "diffusers", "transformers", "accelerate", "torchmetrics", "snakemake")


def seconds(file: Path) -> float:
    with file.open(encoding="utf-8") as lines:
        return float(next(csv.DictReader(lines, delimiter="\t"))["s"])


folder = Path(snakemake.params.benchmarks)  # noqa: F821
files = sorted(folder.rglob("*.tsv"))
jobs: dict[str, list[float]] = {}
for file in files:
    jobs.setdefault(file.relative_to(folder).parts[0], []).append(seconds(file))
begins = [file.stat().st_mtime - seconds(file) for file in files]
spent = sum(sum(times) for times in jobs.values())
wall = max(file.stat().st_mtime for file in files) - min(begins) if files else 0.0
manifest = {
    "config": snakemake.params.config,  # noqa: F821
    "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
    "machine": {"cores": os.cpu_count(), "architecture": platform.machine()},
    "jobs": {kind: {"count": len(times), "seconds": round(sum(times))} for kind, times in jobs.items()},
    # From the first job's start to the last job's end, if the jobs were run in one go.
    "wall_seconds": round(wall) if wall <= spent else None,
}
Path(snakemake.output[0]).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")  # noqa: F821
