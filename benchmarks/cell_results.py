"""A benchmark of many cells: memory between them, and a JSON file of results that is whole after every cell."""

from __future__ import annotations

import gc
import json
import shlex
import subprocess
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from ddecli.core.files import read_json, write_json
from ddecli.core.manifest import machine, versions

Found = dict[str, Any]


def free() -> None:
    """Forget the last cell."""
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def wait() -> None:
    """Until the GPU has done what it was asked for."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def memory() -> Found:
    """Peak since `free`: what torch allocated, and what it took from the GPU for that."""
    if not torch.cuda.is_initialized():
        return {}
    peaks = {"peak_gib": torch.cuda.max_memory_allocated(), "reserved_gib": torch.cuda.max_memory_reserved()}
    return {name: round(peak / 2**30, 2) for name, peak in peaks.items()}


def rounded(value: float) -> float:
    return float(f"{value:.4g}")


class Results:
    """The JSON file: what each command was and where it ran, and all cells, those of earlier commands too."""

    def __init__(self, path: Path, device: torch.device, commit: str | None, **about: Any) -> None:
        self.path = path
        found = read_json(path) if path.exists() else {"runs": [], "cells": {}}
        self.runs, self.cells = found["runs"], found["cells"]
        self.run: Found = {
            "command": shlex.join(["python", *sys.argv]),
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "commit": commit or checked_out_commit(),
            "device": device_facts(device),
            "machine": machine(),
            "versions": versions(),
            **about,
            "not_made_for_lack_of_time": [],
            "failed": [],
        }
        self.runs.append(self.run)

    def add(self, name: str, found: Found) -> None:
        """Keep a cell."""
        self.cells[name] = found | {"run": len(self.runs) - 1}
        if "error" in found:
            self.run["failed"].append(name)
        shown = {key: value for key, value in found.items() if not isinstance(value, list)}
        print(f"{name}: {json.dumps(shown)}", flush=True)
        self.write()

    def write(self) -> None:
        """Write everything that is known so far."""
        rates = {name: cell.get("pairs_per_second") for name, cell in self.cells.items()}
        faster = {}  # ddecli's pairs/s in those of each cell of the script
        for name, rate in rates.items():
            ours = rates.get(name.replace("/script/", "/dde/").removesuffix("/encoding"))
            if "/script/" in name and rate and ours:
                faster[name] = rounded(ours / rate)
        write_json(self.path, {"runs": self.runs, "times_faster_than_script": faster, "cells": self.cells})


def checked_out_commit() -> str | None:
    """The commit that is measured, if this is a git checkout."""

    def git(*arguments: str) -> str:
        here = Path(__file__).parents[1]
        return subprocess.run(
            ["git", *arguments], cwd=here, capture_output=True, text=True, check=True
        ).stdout

    try:
        changed = git("status", "--porcelain", "--", "ddecli", "benchmarks/*.py")
        return git("rev-parse", "HEAD").strip() + (" and changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def device_facts(device: torch.device) -> Found:
    if device.type == "cpu":
        return {"name": "cpu"}
    facts = torch.cuda.get_device_properties(device)
    return {
        "name": facts.name,
        "memory_gib": round(facts.total_memory / 2**30, 1),
        "compute_capability": f"{facts.major}.{facts.minor}",
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
    }


def what_went_wrong(error: Exception) -> Found:
    """Too little memory is a result; anything else a fault, whose trace is shown."""
    is_memory = any(isinstance(reason, torch.OutOfMemoryError) for reason in (error, error.__cause__))
    if is_memory or "out of memory" in str(error) or "ALLOC_FAILED" in str(error):
        return {"out_of_memory": True}
    traceback.print_exc()
    return {"error": f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:300]}"}
