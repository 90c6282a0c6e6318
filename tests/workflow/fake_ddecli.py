"""A `ddecli` that leaves the files that each command leaves, in no time: for tests of the workflow's plans.

Run as `ddecli COMMAND ...`. Where a file FAILS holds `COMMAND N`, that command fails N times, with a sentence.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

SUFFIXES = {"table": (".md", ".csv", ".tex"), "figure": (".png", ".pdf", ".json")}
LEFT = {
    "prepare": ("manifest.json", "pairs.parquet"),
    "train": ("model/model_index.json", "credit.npz", "perf.json"),
    "sample": ("metadata.jsonl",),
    "score": ("scores.parquet", "scores.json"),
    "inception": ("inception.json",),
    "report": ("reproduction.html", "reproduction.md", "reproduction.pdf", "claims.json"),
}
CHOSEN = {loss: {"lr": 1e-5, "beta": 5.0} for loss in ("sft", "uniform", "dde")}


def write(path: Path, text: str = "made\n") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def fail(command: str) -> None:
    """Fail as often as the file says, if it names this command."""
    file = Path("FAILS")
    if not file.is_file():
        return
    name, count = file.read_text().split()
    if name == command and int(count):
        file.write_text(f"{name} {int(count) - 1}")
        sys.exit(f"Error: the disk is full, time {count}.")


def main(command: str, *words: str) -> None:
    fail(command)
    out = Path(words[words.index("--out") + 1] if "--out" in words else words[0])
    if command == "choose":
        write(out, json.dumps({"chosen": CHOSEN}))
    for suffix in SUFFIXES.get(command, ()):
        write(Path(f"{out}{suffix}"))
    for name in LEFT.get(command, ()):
        write(out / name)
    print("{}" if command == "table" else f"{command}: done, in process {os.getpid()}")


if __name__ == "__main__":
    main(*sys.argv[1:])
