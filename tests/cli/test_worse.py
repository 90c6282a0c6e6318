"""A model that training has made worse: said once, with what to do about it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
from pair_data import png
from score_sets import score_set

from ddecli.core.protocol import prompt_id
from ddecli.core.scores import ScoreSet
from ddecli.core.world import TINY
from ddecli.stats.compare import compare
from ddecli.stats.decline import decline
from ddecli.tinyworld.pairs import png as drawn
from ddecli.tinyworld.scenes import caption, random_scene

Run = Callable[..., Any]
SAID = "the model is worse than its base"
WAY_OUT = "train again with a lower --lr, fewer --steps or a larger --beta."


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "random"
    tiny_models.sd_pipeline().save_pretrained(folder)
    return folder


def pairs(folder: Path, better: str, worse: str) -> Path:
    """Twelve pairs; `better` and `worse` name the sides of the pictures 0-11 and 12-23."""
    for side, first in ((better, 0), (worse, 12)):
        (folder / side).mkdir(parents=True, exist_ok=True)
        for number in range(12):
            (folder / side / f"{number}.png").write_bytes(png(first + number))
            (folder / side / f"{number}.txt").write_text(f"prompt {number}")
    return folder


def test_held_out_pairs_that_prefer_the_other_picture(ddecli: Run, model: Path) -> None:
    for name, sides in (("same", ("w", "l")), ("opposite", ("l", "w"))):
        typed = ddecli(
            "prepare", "--model", model, "--data", pairs(Path(name), *sides), "--out", f"{name}-pairs"
        )
        assert typed.code == 0, typed.error
    train = ("train", "--model", model, "--data", "same-pairs", "--device", "cpu", "--steps", 12, "--batch-size", 12,
             "--lr", 1e-3, "--beta", 100, "--loss", "uniform", "--warmup", 0)  # fmt: skip
    for name, is_worse in (("same", False), ("opposite", True)):
        typed = ddecli(*train, "--holdout", f"{name}-pairs", "--out", f"run-{name}")
        assert typed.code == 0, typed.error
        assert (typed.error.count(SAID), typed.error.lower().count(WAY_OUT)) == (
            (1, 1) if is_worse else (0, 0)
        )
        last = json.loads(Path(f"run-{name}/holdout.jsonl").read_text().splitlines()[-1])
        assert (last["holdout_accuracy"] < 0.5) == is_worse and last["holdout_pairs"] == 12


def sets(shift: float, **other: float) -> tuple[ScoreSet, ScoreSet]:
    """Two metrics and the diversity of 30 prompts; the first set is higher by `shift`, or by what is named."""
    base = np.random.default_rng(0).normal(size=(30, 4))
    names = ("clip", "hps", "diversity")
    first = {name: base + other.get(name, shift) + 0.01 * base[::-1] for name in names}
    return score_set("trained", first, "runs/x"), score_set("base", dict.fromkeys(names, base), "tiny")


def told(first: ScoreSet, second: ScoreSet) -> str | None:
    return decline(first, second, compare(first, second))


def test_scores_have_fallen_where_all_of_them_have() -> None:
    assert told(*sets(-1.0)) == (
        "Every score of trained lies clearly below that of base: if its model was trained from the other one, "
        + WAY_OUT
    )
    assert told(*sets(-1.0, diversity=1.0))  # which is no score
    for given in (sets(1.0), sets(-1.0, hps=1.0), sets(-1.0, clip=0.0), sets(1.0, diversity=-1.0)):
        assert told(*given) is None


@pytest.mark.parametrize(
    ("run", "said"),
    [
        ("{model: tiny, loss: dde}", "training has made the model worse; " + WAY_OUT),
        ("{model: tiny, loss: sft}", "made the model worse; train again with a lower --lr or fewer --steps."),
        ("{model: tiny-xl, loss: dde}", "if its model was trained from the other one, " + WAY_OUT),
        ("[]", "if its model was trained from the other one, " + WAY_OUT),
    ],
)
def test_a_run_says_what_it_was_trained_from(run: str, said: str) -> None:
    Path("runs/x").mkdir(parents=True)
    Path("runs/x/run.yaml").write_text(run)
    assert str(told(*sets(-1.0))).endswith(said)


def sample(folder: Path, pictures: list[bytes], captions: list[str], model: str) -> Path:
    """A finished sample, one picture a caption."""
    folder.mkdir(parents=True)
    rows = []
    for text, picture in zip(captions, pictures, strict=True):
        name = f"{prompt_id(text)}-00.png"
        (folder / name).write_bytes(picture)
        rows.append({"file_name": name, "prompt": text, "image_index": 0})
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    protocol = {"prompt_set": "test", "resolution": 32, "world": TINY, "model": {"name": model}}
    (folder / "protocol.json").write_text(json.dumps(protocol))
    return folder


def test_score_against(ddecli: Run) -> None:
    """Pictures of the right captions and of one another's."""
    rng = np.random.default_rng(0)
    scenes = {caption(scene.description, rng): scene for scene in (random_scene(rng) for _ in range(24))}
    right = [drawn(scene) for scene in scenes.values()]
    base = sample(Path("images/base"), right, list(scenes), "tiny")
    trained = sample(Path("images/trained"), right[1:] + right[:1], list(scenes), "runs/x")
    Path("runs/x").mkdir(parents=True)
    Path("runs/x/run.yaml").write_text("{model: tiny, loss: dde}")
    score = ("score", "--metric", "clip", "--metric", "pickscore")
    typed = ddecli(*score, trained, "--against", base, "--json")
    assert typed.code == 0, typed.error
    assert all(
        row["difference"] < 0 for row in json.loads(typed.out)["comparison"] if row["metric"] != "diversity"
    )
    assert typed.error.count(f"training has made the model worse; {WAY_OUT}") == 1
    other = ddecli(*score, base, "--against", trained)
    assert other.code == 0 and "lies clearly below" not in other.error
