"""Which command reads which file, what of its result counts, and whether the file was hashed when it was written.

Of a file that this program wrote, a damaged copy may give a sentence or the same numbers, never others. Of anybody
else's file it may give other numbers, since they are what the file says now: those must only be numbers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open

from tests.fuzz.artefacts import CPU, SCORER, SHORT, TRAIN

Result = Callable[[str], Any]


@dataclass(frozen=True)
class Case:
    """A command, and the files that it reads.

    Attributes:
        files: patterns of what is damaged, in the folder of artefacts.
        copied: folders and files that the command may change; others are linked.
        result: what it came to, from what it printed and wrote.
        own: whether this program wrote the files, and hashed them.
        weight: how often it is chosen.
    """

    name: str
    command: tuple[object, ...]
    files: tuple[str, ...]
    result: Result
    own: bool
    weight: float = 1.0
    copied: tuple[str, ...] = ()


def of_json(*left_out: str) -> Result:
    """What was printed as JSON, without what differs each time."""
    return lambda out: {key: value for key, value in json.loads(out).items() if key not in left_out}


def of_file(name: str, *left_out: str) -> Result:
    """The same of a JSON file."""
    return lambda out: of_json(*left_out)(Path(name).read_text())


def of_weights(out: str) -> Any:
    """Whether every number of a model's U-Net is finite."""
    with safe_open("out/unet/diffusion_pytorch_model.safetensors", framework="np") as file:
        return all(np.isfinite(file.get_tensor(name)).all() for name in file.keys())  # noqa: SIM118


def of_images(out: str) -> Any:
    """The bytes of pictures that were sampled."""
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(Path("out").glob("*.png"))
    }


def of_geneval(out: str) -> Any:
    """Metadata and pictures that were laid out."""
    return {
        str(file): file.read_text()
        if file.suffix == ".jsonl"
        else hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(Path("out").rglob("*.*"))
    }


def of_store(out: str) -> Any:
    """Pairs and latents, whatever their order."""
    from ddecli.data.store import PairStore

    store = PairStore.open(Path(json.loads(out)["out"]))
    latents = store.latents(store.chosen_index).sum((1, 2, 3)).tolist()
    return sorted((store.pair(i).prompt, value) for i, value in enumerate(latents))


def of_training(out: str) -> Any:
    """First and last loss."""
    said = json.loads(out)
    return [said["first_loss"], said["last_loss"]]


def of_going_on(out: str) -> Any:
    """The weights of a run that was gone on with."""
    file = Path("begun/model/unet/diffusion_pytorch_model.safetensors")
    return hashlib.sha256(file.read_bytes()).hexdigest()


def of_scores(out: str) -> Any:
    """Scores that were printed."""
    said = json.loads(out)
    return json.loads(json.dumps(said, default=str))


def nothing(out: str) -> None:
    """Nothing that can be compared."""


def is_finite(value: Any) -> bool:
    """Whether all numbers in a result are numbers."""
    if isinstance(value, dict):
        return all(map(is_finite, value.values()))
    if isinstance(value, list | tuple):
        return all(map(is_finite, value))
    return not isinstance(value, float) or bool(np.isfinite(value))


def _prepare(data: str, *words: object, weight: float = 1.0, files: str = "") -> Case:
    command = (
        "prepare",
        "--model",
        "model",
        "--data",
        data,
        "--out",
        "out",
        "--max-bad",
        0.5,
        *CPU,
        "--json",
        *words,
    )
    return Case(f"prepare {data}", command, (files or f"{data}/**",), of_store, own=False, weight=weight)


IMAGES = ("images-model/[!.]*", "images-run/[!.]*")
TABLE = ("table", "A=images-model", "B=images-run", "--json")
SAMPLE = ("--prompt", "a red circle", "--prompt", "a star", "--images-per-prompt", 1, "--out", "out", *SHORT)
FIGURE = ("A=run", "--out", "out/f")

CASES = [
    *(
        _prepare(data)
        for data in (
            "data-meta",
            "data-csv",
            "data-list",
            "data-folders",
            "data-parquet",
            "data-tar",
            "data-votes",
        )
    ),
    _prepare("data-label-studio/export.json", files="data-label-studio/*"),
    Case(
        "collect --summary",
        ("collect", "--out", "data-votes", "--summary", "--json"),
        ("data-votes/votes.jsonl",),
        of_json(),
        own=False,
    ),
    _prepare("data-folders/w", "--winners-only"),
    Case(
        "prepare, second share",
        (
            "prepare",
            "--model",
            "model",
            "--data",
            "data-tar",
            "--out",
            "shared",
            "--shard",
            "2/2",
            *CPU,
            "--json",
        ),
        ("shared.parts/**",),
        of_store,
        own=True,
        weight=1.5,
        copied=("shared.parts", "data-tar"),
    ),
    Case(
        "train",
        (*TRAIN, "--data", "store", "--out", "out", "--steps", 1, "--json"),
        ("store/*",),
        of_training,
        own=True,
        weight=1.5,
    ),
    Case(
        "train --resume",
        (*TRAIN, "--data", "store", "--out", "begun", "--steps", 3, "--resume", "--json"),
        ("begun/**",),
        of_going_on,
        own=True,
        weight=2,
        copied=("begun",),
    ),
    Case(
        "train --config",
        ("train", "--config", "settings.yaml", "--dry-run"),
        ("settings.yaml",),
        nothing,
        own=False,
        weight=2,
    ),
    Case("sample a model", ("sample", "model", *SAMPLE), ("model/**",), of_images, own=False, weight=3),
    Case(
        "prepare with a model",
        ("prepare", "--model", "model", "--data", "data-meta", "--out", "out", *CPU, "--json"),
        ("model/**",),
        of_store,
        own=False,
        weight=2,
    ),
    Case(
        "train a model",
        (*TRAIN, "--data", "store", "--out", "out", "--steps", 1, "--json"),
        ("model/**",),
        of_training,
        own=False,
        weight=1.5,
    ),
    Case("sample .bin files", ("sample", "model-bin", *SAMPLE), ("model-bin/*/*.bin",), of_images, own=False),
    Case(
        "sample one file",
        ("sample", "single.safetensors", *SAMPLE),
        ("single.safetensors", "single/**"),
        of_images,
        own=False,
        weight=0.7,
    ),
    Case(
        "sample a run",
        ("sample", "run", *SAMPLE),
        ("run/model/**", "run/perf.json"),
        of_images,
        own=True,
        weight=1.5,
    ),
    Case(
        "sample a LoRA run",
        ("sample", "lora", *SAMPLE),
        ("lora/model/*", "lora/*.*", "model/**"),
        of_images,
        own=True,
        weight=1.5,
    ),
    Case(
        "merge a LoRA file",
        ("merge", "model", "lora/model/lora-kohya.safetensors", "--out", "out", "--json"),
        ("lora/model/*kohya*",),
        of_weights,
        own=False,
        weight=0.7,
    ),
    *(
        Case(
            f"sample prompts{ending}",
            (
                "sample",
                "model",
                "--prompts",
                f"prompts/{name}{ending}",
                "--out",
                "out",
                "--images-per-prompt",
                1,
                *SHORT,
            ),
            (f"prompts/{name}{ending}",),
            nothing,
            own=False,
            weight=0.4,
        )
        for name, ending in (
            ("a", ".txt"),
            ("a", ".json"),
            ("b", ".json"),
            ("a", ".jsonl"),
            ("a", ".csv"),
            ("a", ".tsv"),
            ("a", ".parquet"),
        )
    ),
    Case(
        "score a sample",
        ("score", "images-run", *SCORER, "--against", "images-model", "--json"),
        IMAGES,
        of_scores,
        own=True,
        weight=3,
        copied=("images-run", "images-model"),
    ),
    Case(
        "prepare a sample",
        (
            "prepare",
            "--model",
            "model",
            "--data",
            "images-run",
            "--relabel",
            "clip",
            "--out",
            "out",
            *CPU,
            "--json",
        ),
        ("images-run/[!.]*",),
        of_store,
        own=True,
        weight=1.5,
    ),
    Case(
        "score pictures",
        ("score", "pictures", *SCORER, "--max-bad", 0.9, "--json"),
        ("pictures/*",),
        of_scores,
        own=False,
        weight=2,
        copied=("pictures",),
    ),
    Case(
        "score with a scorer",
        ("score", "pictures/0.png", "--prompt", "a red circle", *SCORER, "--json"),
        ("scorer/*",),
        of_scores,
        own=False,
        weight=1.5,
    ),
    Case(
        "score with a head",
        (
            "score",
            "pictures/0.png",
            "--prompt",
            "a",
            "--scorer",
            "aesthetic=aesthetic",
            "--metric",
            "aesthetic",
            *CPU,
            "--json",
        ),
        ("aesthetic/*",),
        of_scores,
        own=False,
    ),
    Case(
        "export",
        ("export", "images-geneval", "--layout", "geneval", "--out", "out", "--json"),
        ("images-geneval/[!.]*",),
        of_geneval,
        own=True,
    ),
    Case(
        "export a list",
        (
            "export",
            "images-geneval",
            "--layout",
            "geneval",
            "--out",
            "out",
            "--prompts",
            "geneval.jsonl",
            "--json",
        ),
        ("geneval.jsonl",),
        nothing,
        own=False,
        weight=0.4,
    ),
    Case(
        "inception",
        ("inception", "images-run", "--classifier", "classifier", "--splits", 2, *CPU, "--json"),
        ("images-run/[!.]*", "images-run/inception-logits/*"),
        of_json(),
        own=True,
        weight=1.5,
        copied=("images-run",),
    ),
    Case(
        "inception with a classifier",
        ("inception", "pictures", "--classifier", "classifier", "--splits", 2, *CPU, "--json"),
        ("classifier/*",),
        of_json(),
        own=False,
        copied=("pictures",),
    ),
    Case(
        "table",
        TABLE,
        (*IMAGES, "run/run.yaml", "run/perf.json"),
        of_json("read", "content_sha256"),
        own=True,
        weight=3,
    ),
    Case(
        "table 4",
        ("table", 4, *TABLE[1:]),
        ("images-*/inception.json",),
        of_json("read", "content_sha256"),
        own=True,
    ),
    Case(
        "choose",
        ("choose", "images-model", "images-run", "--metric", "clip", "--json"),
        ("images-*/scores*", "run/run.yaml", "run/perf.json"),
        of_json("read", "content_sha256"),
        own=True,
    ),
    *(
        Case(
            f"figure {kind}",
            ("figure", kind, *FIGURE),
            (f"run/{file}", "run/perf.json"),
            of_file("out/f.json", "read"),
            own=True,
            weight=0.5,
        )
        for kind, file in (
            ("credit", "credit.npz"),
            ("credit-steps", "credit.npz"),
            ("curves", "metrics.jsonl"),
        )
    ),
    Case(
        "figure images",
        ("figure", "images", "A=images-model", "B=images-run", "--prompts", 2, "--out", "out/f"),
        IMAGES,
        of_file("out/f.json", "read"),
        own=True,
    ),
    Case(
        "figure coefficients",
        ("figure", "coefficients", "--model", "model", "--out", "out/f"),
        ("model/scheduler/*",),
        nothing,
        own=False,
        weight=0.3,
    ),
    Case(
        "report",
        ("report", "experiment/experiment.yaml", "--out", "experiment/paper"),
        ("experiment/images/*/*", "experiment/classes/*/*", "experiment/*.json"),
        of_file("experiment/paper/claims.json", "read"),
        own=True,
        weight=1.2,
        copied=("experiment",),
    ),
    Case(
        "report an experiment",
        ("report", "experiment/experiment.yaml", "--out", "experiment/paper"),
        ("experiment/experiment.yaml", "experiment/runs/*/*", "experiment/paper/figures/*"),
        nothing,
        own=False,
        weight=1.2,
        copied=("experiment",),
    ),
]
NO_NUMBERS = ("README.md", "contact-sheet.png", "merges.txt", "bad-rows.jsonl")
"""Files of our own from which no number comes, and those that other programs write beside them."""
