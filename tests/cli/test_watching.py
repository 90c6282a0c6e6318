"""`ddecli train --report-to` and `--sample-every` as they are typed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from cli_checks import assert_one_sentence, contents

from ddecli.models.presets import builtin_weights

if TYPE_CHECKING:
    from conftest import Typed


@pytest.fixture
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*given: Any, **named: Any) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr("ddecli.training.inputs.load_model", load)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("--report-to", "tensorbord"),
            "'tensorbord': there is no such tracker; known are tensorboard, wandb",
        ),
        (("--report-to", ""), "there is no such tracker"),
        (
            ("--report-to", "tensorboard,dvclive"),
            "--report-to dvclive: it is not installed; pip install dvclive",
        ),
        (
            ("--sample-every", "2", "--sample-prompts", "empty.txt"),
            "empty.txt has no prompt that is not empty",
        ),
        (("--sample-every", "2", "--sample-prompts", "none.txt"), "none.txt does not exist"),
        (("--sample-prompts", "empty.txt"), "goes with --sample-every N"),
        (("--sample-every", "2", "--model", "sd15", "--data", "x"), "needs --sample-prompts FILE"),
        (("--sample-metric", "clip"), "--sample-metric clip goes with --sample-every N"),
        (("--sample-every", "2", "--sample-metric", "clap"), "There is no metric 'clap': choose from clip"),
        (("--sample-every", "2", "--sample-metric", "hpsv3"), "The tiny world has no hpsv3"),
        (
            ("--sample-every", "2", "--sample-metric", "clip", "--sample-scorer", "clip=nowhere"),
            "--sample-scorer clip=nowhere: nowhere does not exist",
        ),
        (
            ("--sample-every", "2", "--sample-metric", "clip", "--sample-scorer", "clap=empty.txt"),
            "There is no metric 'clap'",
        ),
        (
            ("--sample-every", "2", "--sample-metric", "clip", "--sample-scorer", "clip"),
            "must be METRIC=FOLDER",
        ),
        (("--sample-every", "2", "--sample-scorer", "clip=x"), "goes with --sample-metric clip"),
    ],
)
def test_what_cannot_be_watched_is_said_before_a_model_is_loaded(
    ddecli: Callable[..., Typed], no_model: None, words: tuple[str, ...], said: str
) -> None:
    Path("empty.txt").write_text("\n  \n")
    before = contents(Path())
    typed = ddecli("train", *words)
    assert_one_sentence(typed, said)
    assert contents(Path()) == before


def test_a_watched_run(ddecli: Callable[..., Typed], sd_folder: Path, sd_store: Path) -> None:
    Path("prompts.txt").write_text("a red circle\n\na star\n")
    words = [
        "train", "--model", sd_folder, "--data", sd_store, "--steps", 3, "--batch-size", 8, "--lr", 1e-3,
        "--out", "run", "--report-to", "tensorboard", "--sample-every", 2, "--sample-prompts", "prompts.txt", "--json",
    ]  # fmt: skip
    typed = ddecli(*words)
    assert typed.code == 0, typed.error
    assert json.loads(typed.out)["steps"] == 3
    assert [path.name for path in sorted(Path("run/samples").glob("*.png"))] == [
        "step-000002.png",
        "step-000003.png",
    ]
    assert list(Path("run/tensorboard").glob("events*"))
    left = contents(Path("run"))
    assert ddecli(*words, "--resume").code == 0
    assert contents(Path("run")) == left
    changed = ddecli(*words, "--overwrite", "--beta", 7, "--sample-every", 3)
    assert changed.code == 0
    assert [path.name for path in Path("run/samples").glob("*.png")] == ["step-000003.png"]


def test_a_scored_run(
    ddecli: Callable[..., Typed], sd_folder: Path, sd_store: Path, world_folder: Path
) -> None:
    """By the scorers of the world; of a model that is none of it, by those of a folder."""
    run = ["train", "--steps", 2, "--batch-size", 8, "--lr", 1e-3, "--loss", "dde", "--sample-every", 2,
           "--sample-metric", "clip", "--sample-metric", "pickscore", "--data", sd_store]  # fmt: skip
    typed = ddecli(*run, "--model", world_folder, "--out", "world")
    assert typed.code == 0, typed.error
    assert "After step 2, scores and differences to the base (95 %, 8 prompts):" in typed.error
    assert {"clip", "pickscore_low", "diversity"} < json.loads(Path("world/samples.jsonl").read_text()).keys()
    assert yaml.safe_load(Path("world/run.yaml").read_text())["sample_metric"] == ["clip", "pickscore"]

    Path("prompts.txt").write_text("a red circle\na star\n")
    run += ["--model", sd_folder, "--sample-prompts", "prompts.txt"]
    for number, metric in enumerate(("clip", "pickscore")):
        run += ["--sample-scorer", f"{metric}={builtin_weights(metric)}"]
        typed = ddecli(*run, "--out", f"run-{number}")
        assert typed.code == 2 * (number == 0), (
            typed.error
        )  # of pickscore nothing is at hand without a folder
    assert not list(Path("run-0").glob("samples/base/*.png"))
    scores = json.loads(Path("run-1/samples/base/scores.json").read_text())
    assert scores["scorers"]["clip"]["model"] == "clip"
