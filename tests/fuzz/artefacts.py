"""Real files of every kind that the commands read, made once by the commands themselves with the smallest models."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import pyarrow as pa
import pyarrow.parquet as pq
import tiny_models
import torch
import yaml
from experiments import write_experiment
from pair_data import picture, png, tar, write_folder
from single_files import save_single_file
from stored_models import bin_files

from ddecli.collect.votes_file import open_votes
from ddecli.core.sealed import read_sealed, write_sealed
from ddecli.data.votes import Vote
from ddecli.models.load import load_for_sampling
from ddecli.scoring.aesthetic import HEAD, AestheticHead
from tests.fuzz.typed import typed

CPU = ("--device", "cpu")
PROMPTS = ("a red circle", "a blue star", "green", "a square on white", "red on green", "two words")
SCORER = ("--scorer", "clip=scorer", "--metric", "clip", *CPU)
TRAIN = ("train", "--model", "model", "--batch-size", 2, "--checkpoint-every", 1, *CPU)


def build() -> None:
    """Fill the working directory."""
    tiny_models.sd_pipeline().save_pretrained("model")
    bin_files(Path("model"), Path("model-bin"))
    save_single_file(tiny_models.sd_pipeline(), Path("single.safetensors"))
    shutil.copytree("model", "single")  # configurations and tokenizer of the file
    tiny_models.save_clip(Path("scorer"))
    tiny_models.save_clip(Path("aesthetic"))
    torch.manual_seed(0)
    torch.save(AestheticHead(16).state_dict(), Path("aesthetic", HEAD))
    tiny_models.save_classifier(Path("classifier"))
    _sources()
    _prompt_files()
    _pictures()
    _do("prepare", "--model", "model", "--data", "data-meta", "--out", "store", "--holdout", 0.3, *CPU)
    _do("prepare", "--model", "model", "--data", "data-tar", "--out", "shared", "--shard", "1/2", *CPU)
    _do(
        *TRAIN,
        "--data",
        "store",
        "--out",
        "run",
        "--steps",
        3,
        "--holdout",
        "store-holdout",
        "--evaluate-every",
        1,
    )
    _do(*TRAIN, "--data", "store", "--out", "begun", "--steps", 3)
    _unfinished(Path("begun"))
    _do(*TRAIN, "--data", "store", "--out", "lora", "--steps", 1, "--lora", 2)
    for model in ("model", "run"):
        out = f"images-{model}"
        _do("sample", model, "--prompts", "prompts.txt", "--out", out, "--images-per-prompt", 2, *SHORT)
        _do("score", out, *SCORER)
        _do("inception", out, "--classifier", "classifier", "--splits", 2, *CPU)
    given = ("--prompts", "geneval=geneval.jsonl", "--out", "images-geneval", "--images-per-prompt", 1)
    _do("sample", "model", *given, *SHORT)
    write_experiment(Path("experiment"))
    for file in (*Path("experiment").glob("*/*/inception.json"), Path("experiment/grid.json")):
        write_sealed(file, read_sealed(file, ""))
    (Path("experiment") / "table.json").write_text(
        _do("table", 2, "A=experiment/images/base-0", "DDE=experiment/images/dde-0", "--json")
    )
    described = yaml.safe_load(Path("experiment/experiment.yaml").read_text())
    described["tables"] = {2: "experiment/table.json"}
    Path("experiment/experiment.yaml").write_text(yaml.safe_dump(described, sort_keys=False))
    Path("settings.yaml").write_text(_do(*TRAIN, "--data", "store", "--out", "other", "--dry-run"))


SHORT = ("--steps", 1, "--guidance-scale", 1, *CPU)


def _do(*arguments: object) -> str:
    done = typed(*arguments)
    if done.code != 0:
        raise RuntimeError(f"ddecli {' '.join(map(str, arguments))}\n{done.error}\n{done.crash}")
    return done.out


def _unfinished(run: Path) -> None:
    """Two checkpoints and no model, as of a run that was stopped."""
    last = run / "checkpoints" / "step-000003"
    shutil.rmtree(last)
    shutil.rmtree(run / "model")
    for name in ("perf.json", "credit.npz"):
        (run / name).unlink()
    settings = (*TRAIN, "--data", "store", "--out", run, "--steps", 2, "--overwrite")
    shutil.rmtree(run)
    _do(*settings)
    two = shutil.copytree(run / "checkpoints" / "step-000002", run.with_name("two"))
    shutil.rmtree(run)
    _do(*TRAIN, "--data", "store", "--out", run, "--steps", 1)
    one = shutil.copytree(run / "checkpoints" / "step-000001", run.with_name("one"))
    shutil.rmtree(run)
    _do(*settings)
    shutil.rmtree(run / "model")
    (run / "perf.json").unlink()
    shutil.rmtree(run / "checkpoints")
    (run / "checkpoints").mkdir()
    one.rename(run / "checkpoints" / "step-000001")
    two.rename(run / "checkpoints" / "step-000002")


def _rows(count: int = 6) -> list[dict[str, Any]]:
    rows = [
        {"prompt": PROMPTS[i % 6], "chosen": f"{2 * i}.png", "rejected": f"{2 * i + 1}.png"}
        for i in range(count)
    ]
    return [row | {"label": 1} for row in rows]


def _sources() -> None:
    write_folder(Path("data-meta"), _rows(), 12)
    write_folder(Path("data-csv"), [], 12)
    Path("data-csv/metadata.jsonl").unlink()
    with Path("data-csv/metadata.csv").open("w", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(_rows()[0]))
        table.writeheader()
        table.writerows(_rows())
    write_folder(Path("data-list"), [], 12)
    Path("data-list/metadata.jsonl").unlink()
    listed = [
        {"prompt": PROMPTS[i], "image_path": [f"{2 * i}.png", f"{2 * i + 1}.png"], "human_preference": [1, 0]}
        for i in range(6)
    ]
    Path("data-list/train.json").write_text(json.dumps(listed, indent=1))
    for side in ("w", "l"):
        Path("data-folders", side).mkdir(parents=True)
    for i in range(6):
        Path(f"data-folders/w/{i}.png").write_bytes(png(2 * i))
        Path(f"data-folders/l/{i}.png").write_bytes(png(2 * i + 1))
        Path(f"data-folders/w/{i}.txt").write_text(PROMPTS[i])
    Path("data-parquet").mkdir()
    rows = [
        {
            "caption": PROMPTS[i], "jpg_0": png(2 * i), "jpg_1": png(2 * i + 1), "label_0": 1.0,
            "are_different": True, "has_label": True,
        }
        for i in range(6)
    ]  # fmt: skip
    for number in range(2):
        pq.write_table(
            pa.Table.from_pylist(rows[3 * number : 3 * number + 3]), f"data-parquet/{number}.parquet"
        )
    for number in range(2):
        files: dict[str, bytes | str] = {}
        for i in range(3 * number, 3 * number + 3):
            about = json.dumps({"caption": PROMPTS[i], "label_0": 1})
            files |= {f"{i}.0.png": png(2 * i), f"{i}.1.png": png(2 * i + 1), f"{i}.json": about}
        tar(Path(f"data-tar/{number}.tar"), files)
    with open_votes(Path("data-votes")) as votes:
        for i in range(6):
            names = [votes.keep(sha256(png(n)).hexdigest(), ".png", png(n)) for n in (2 * i, 2 * i + 1)]
            for voter in ("ann", "bob"):
                choice = "left" if voter == "ann" or i % 2 else "tie"
                votes.add(Vote(voter, f"pair {i}", choice, PROMPTS[i], *names, "a", "b", 1.5, "now"))

    _label_studio()


def _label_studio() -> None:
    write_folder(Path("data-label-studio"), [], 12)
    Path("data-label-studio/metadata.jsonl").unlink()
    selected = {"from_name": "preference", "to_name": "preference", "type": "pairwise"}
    tasks = [
        {
            "id": i,
            "data": {
                "prompt": PROMPTS[i],
                "image1": f"/x/?d=y/{2 * i}.png",
                "image2": f"/x/?d=y/{2 * i + 1}.png",
            },
            "annotations": [
                {"id": i, "result": [selected | {"value": {"selected": "left"}}], "was_cancelled": False}
            ],
        }
        for i in range(6)
    ]
    Path("data-label-studio/export.json").write_text(json.dumps(tasks, indent=1))


def _prompt_files() -> None:
    Path("prompts").mkdir()
    lines = list(PROMPTS[:3])
    Path("prompts/a.txt").write_text("\n".join(lines) + "\n")
    Path("prompts/a.json").write_text(json.dumps(lines, indent=1))
    Path("prompts/b.json").write_text(json.dumps([{"prompt": line} for line in lines], indent=1))
    Path("prompts/a.jsonl").write_text("".join(json.dumps({"prompt": line}) + "\n" for line in lines))
    Path("prompts/a.csv").write_text(
        "number,prompt\n" + "".join(f'{i},"{line}"\n' for i, line in enumerate(lines))
    )
    Path("prompts/a.tsv").write_text(
        "number\tprompt\n" + "".join(f"{i}\t{line}\n" for i, line in enumerate(lines))
    )
    pq.write_table(pa.table({"caption": lines, "number": [1, 2, 3]}), "prompts/a.parquet")
    Path("prompts.txt").write_text("\n".join(PROMPTS) + "\n")
    rows = [{"tag": "colors", "include": [{"class": "ring", "count": 1}], "prompt": line} for line in lines]
    Path("geneval.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def _pictures() -> None:
    Path("pictures").mkdir()
    kinds = {
        "png": "PNG",
        "jpg": "JPEG",
        "webp": "WEBP",
        "gif": "GIF",
        "bmp": "BMP",
        "tif": "TIFF",
        "avif": "AVIF",
    }
    for number, (ending, kind) in enumerate(kinds.items()):
        picture(number).save(f"pictures/{number}.{ending}", kind)
    rows = [{"file_name": file.name, "prompt": "a red circle"} for file in sorted(Path("pictures").iterdir())]
    Path("pictures/metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def load_all() -> None:
    """What takes seconds once, before a time limit counts."""
    load_for_sampling("model")
