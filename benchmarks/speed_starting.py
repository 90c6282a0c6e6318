"""What starting costs: whole commands that have next to nothing to do, beside `import torch`."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path

from PIL import Image
from speed_turns import Rates, commands_in_turns, rounded

PROMPTS = ("--prompt", "a red circle", "--images-per-prompt", 2, "--steps", 1)
EXPERIMENT = "{name: mine, title: Mine, models: {tiny: {scores: {base: [images], ours: [trial]}}}}"

EXPORT = ("export", "images", "--layout", "geneval", "--prompts", "geneval=geneval.jsonl")
GENEVAL = """\
{"tag": "single_object", "include": [{"class": "circle", "count": 1}], "prompt": "a red circle"}
{"tag": "single_object", "include": [{"class": "square", "count": 1}], "prompt": "a blue square"}
"""
NOT_THERE = "score of what is not there"


def starting(scratch: Path, store: Path, rounds: int) -> Rates:
    """Seconds of processor time, user and system, of whole commands."""
    folder = scratch / "starting"
    _prepare(folder, store)
    numbers = count()

    def typed(*words: object, out: str | None = None) -> Callable[[], Sequence[str]]:
        """A command, and where it writes to, which is new in every round."""

        def make() -> Sequence[str]:
            more = () if out is None else (out, f"out-{next(numbers)}")
            return _command(*words, *more)

        return make

    def of_a_copy(command: str, *more: object) -> Callable[[], Sequence[str]]:
        """A command on images that it has not seen."""

        def make() -> Sequence[str]:
            copy = f"copy-{next(numbers)}"
            shutil.copytree(folder / "images", folder / copy)
            return _command(command, copy, *more)

        return make

    train = (
        "train",
        "--model",
        "tiny",
        "--loss",
        "uniform",
        "--data",
        store,
        "--steps",
        1,
        "--batch-size",
        4,
    )
    commands = {
        "import torch": lambda: [sys.executable, "-c", "import torch"],
        "--version": typed("--version"),
        "--help": typed("--help"),
        "train --help": typed("train", "--help"),
        "train --dry-run": typed("train", "--dry-run"),
        "list losses": typed("list", "losses"),
        "workflow init": lambda: _command("workflow", "init", f"out-{next(numbers)}"),
        "collect --summary": typed("collect", "--summary"),
        "prepare of 16 pairs": typed("prepare", "--model", "tiny", "--limit", 16, out="--out"),
        "train, one step of 4 pairs": typed(*train, out="--out"),
        "sample, two images of one step": typed("sample", "tiny", *PROMPTS, out="--out"),
        NOT_THERE: typed("score", "nothere.png", "--prompt", "a"),
        "score of one picture": typed("score", "one.png", "--prompt", "a red circle", "--metric", "clip"),
        "inception of four images": of_a_copy("inception", "--splits", 1),
        "choose of one trial": typed("choose", "images", "trial", "--metric", "clip"),
        "table of two folders": typed("table", "A=images", "B=trial", out="--out"),
        "report of two folders": typed("report", "experiment.yaml", out="--out"),
        "figure coefficients": typed("figure", "coefficients", out="--out"),
        "export of four images": typed(*EXPORT, out="--out"),
        "world show": lambda: _command("world", "show", "--out", f"out-{next(numbers)}.png"),
    }
    found = commands_in_turns(commands, folder, rounds, refused={NOT_THERE})
    torch_alone = found["import torch"]["median"]
    return {
        name: each | {"times_import_torch": rounded(each["median"] / torch_alone)}
        for name, each in found.items()
    }


def _command(*words: object) -> list[str]:
    return [sys.executable, "-m", "ddecli", *map(str, words)]


def _prepare(folder: Path, store: Path) -> None:
    """What the commands read: a picture, votes of nobody, four images each of the base and of a run, scored."""
    (folder / "votes").mkdir(parents=True)
    (folder / "votes/votes.jsonl").touch()
    Image.new("RGB", (32, 32)).save(folder / "one.png")
    (folder / "experiment.yaml").write_text(EXPERIMENT)
    (folder / "geneval.jsonl").write_text(GENEVAL)
    train = ("train", "--model", "tiny", "--data", store, "--steps", 1, "--batch-size", 4, "--out", "run")
    commands = [
        train,
        ("sample", "tiny", *PROMPTS, "--prompt", "a blue square", "--out", "images"),
        ("sample", "run", *PROMPTS, "--prompt", "a blue square", "--out", "trial"),
        ("score", "images", "trial", "--metric", "clip"),
    ]
    for words in commands:
        subprocess.run(_command(*words), check=True, capture_output=True, cwd=folder)
