"""How an experiment was made: configuration, versions, machine, and the time that every kind of job took."""

import json
import os
import platform
from importlib.metadata import version
from pathlib import Path

from ddecli.workflow.times import job_times, wall_seconds

PACKAGES = ("ddecli", "torch", "diffusers", "transformers", "accelerate", "torchmetrics", "snakemake")


folder = Path(snakemake.params.benchmarks)  # noqa: F821
times = job_times(folder)
jobs: dict[str, list[float]] = {}
for job in times:
    jobs.setdefault(job.kind, []).append(job.seconds)
wall = wall_seconds(times, folder)
manifest = {
    "config": snakemake.params.config,  # noqa: F821
    "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
    "machine": {"cores": os.cpu_count(), "architecture": platform.machine()},
    "jobs": {kind: {"count": len(all_of), "seconds": round(sum(all_of))} for kind, all_of in jobs.items()},
    "wall_seconds": None if wall is None else round(wall),
}
Path(snakemake.output[0]).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")  # noqa: F821
