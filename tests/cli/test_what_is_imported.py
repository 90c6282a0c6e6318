"""What a command imports: nothing large that it has no use for."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SAMPLE = (
    "sample",
    "tiny",
    "--prompt",
    "a red circle",
    "--images-per-prompt",
    "2",
    "--steps",
    "1",
    "--out",
    "s",
)
NOT_AT_ALL = (
    "sklearn",
    "datasets",
    "torchmetrics",
    "torchvision",
)  # pyarrow takes pandas, where there is one
DEFERRED = {
    "sympy",
    "torch._dynamo.eval_frame",
    "torch.distributed.fsdp",
    "torch.distributed.tensor._api",
    "scipy.optimize._optimize",
    "scipy.stats._stats_py",
}
"""What libraries import for a name or two, of their own or by a module of theirs (`ddecli/core/deferred.py`)."""


def imported(*arguments: str) -> set[str]:
    """The modules that a command leaves behind, in a process of its own."""
    code = (
        "import atexit, sys; atexit.register(lambda: print('MODULES', *sys.modules)); "
        "from ddecli.cli.app import main; sys.argv[0] = 'ddecli'; main()"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rpartition("MODULES")[2].split())


@pytest.fixture
def pictures(ddecli: Callable[..., Any]) -> str:
    """A sample folder in the folder that the test runs in."""
    assert ddecli(*SAMPLE).code == 0
    return "s"


def test_sample_imports_no_other_command_s_libraries() -> None:
    found = imported(*SAMPLE)
    assert {"torch", "diffusers", "transformers"} <= found
    assert found & {*NOT_AT_ALL, "pandas", "pyarrow", "ddecli.scoring.score", "ddecli.training.loop"} == set()
    assert found & DEFERRED == set()


def test_sample_of_a_lora_imports_no_other_command_s_libraries() -> None:
    """peft asks after tensors in shards."""
    train = ("train", "--batch-size", "4", "--steps", "1", "--lora", "2", "--out", "run")
    store = ("prepare", "--model", "tiny", "--limit", "16", "--out", "store")
    for words in (store, (*train, "--data", "store")):
        subprocess.run([sys.executable, "-m", "ddecli", *words], check=True, capture_output=True)
    found = imported("sample", "run", *SAMPLE[2:])
    assert "peft" in found
    assert found & DEFERRED == set()


def test_inception_imports_no_other_command_s_libraries(pictures: str) -> None:
    found = imported("inception", pictures, "--splits", "1")
    assert {"torch", "transformers"} <= found
    assert found & {*NOT_AT_ALL, "diffusers", "peft", "matplotlib", "pandas", "pyarrow", *DEFERRED} == set()


def test_score_imports_the_scorers_that_are_asked_for(pictures: str) -> None:
    found = imported("score", pictures, "--metric", "clip")
    assert "ddecli.scoring.clip" in found
    assert (
        found & {*NOT_AT_ALL, "diffusers", "peft", "matplotlib", "ftfy", "ddecli.scoring.imagereward"}
        == set()
    )
    assert found & DEFERRED == set()


def test_prepare_defers_what_it_does_not_use() -> None:
    found = imported("prepare", "--model", "tiny", "--limit", "8", "--out", "store")
    assert {"torch", "diffusers"} <= found
    assert found & DEFERRED == set()


def test_train_imports_no_other_command_s_libraries(ddecli: Callable[..., Any]) -> None:
    """Nor what prepares the pairs that are there."""
    assert ddecli("prepare", "--model", "tiny", "--limit", "16", "--out", "store").code == 0
    found = imported("train", "--data", "store", "--batch-size", "4", "--steps", "1", "--out", "run")
    assert {"torch", "diffusers"} <= found
    assert found & {*NOT_AT_ALL, "matplotlib", "ddecli.sampling", "ddecli.scoring.score"} == set()


def test_figure_of_a_schedule_imports_no_models() -> None:
    found = imported("figure", "coefficients", "--out", "c")
    assert {"torch", "diffusers", "matplotlib"} <= found
    assert (
        found & {*NOT_AT_ALL, *DEFERRED, "transformers", "accelerate", "peft", "pandas", "pyarrow"} == set()
    )


def test_report_imports_schedulers_where_it_is_asked_of_timesteps(pictures: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "ddecli", "score", pictures, "--metric", "clip"],
        check=True,
        capture_output=True,
    )
    Path("mine.yaml").write_text(
        f"{{name: mine, title: Mine, models: {{m: {{scores: {{base: [{pictures}]}}}}}}}}"
    )
    found = imported("report", "mine.yaml", "--out", "r")
    assert "ddecli.reproduction.article.article" in found
    assert found & {*NOT_AT_ALL, *DEFERRED, "torch", "diffusers", "transformers"} == set()


def test_collect_imports_neither_models_nor_torch() -> None:
    """The page is there at once."""
    Path("votes").mkdir()
    Path("votes/votes.jsonl").touch()
    found = imported("collect", "--summary")
    assert "ddecli.collect.pairs" in found
    assert found & {*NOT_AT_ALL, "torch", "transformers", "diffusers", "pyarrow", "matplotlib"} == set()
