"""`ddecli sample` as it is typed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_models

from ddecli.cli.sample import parse_shard
from ddecli.core.errors import UserError

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "base"
    tiny_models.sd_pipeline().save_pretrained(folder)
    return folder


@pytest.fixture(autouse=True)
def in_its_own_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


QUICK = ("--steps", 1, "--images-per-prompt", 2)


def test_prompts_of_the_command_line(ddecli: Run, model: Path, tmp_path: Path) -> None:
    typed = ddecli("sample", model, "--prompt", "a dog", "--prompt", "a cat", *QUICK, "--json")
    assert typed.code == 0, typed.error
    summary = json.loads(typed.out)
    assert (summary["images"], summary["made"], summary["complete"]) == (4, 4, True)
    assert len((tmp_path / "images" / "base" / "metadata.jsonl").read_text().splitlines()) == 4
    again = ddecli("sample", model, "--prompt", "a dog", "--prompt", "a cat", *QUICK)
    assert "0 images made, 4 kept" in again.out


def test_prompt_file_shards_and_defaults(ddecli: Run, model: Path, tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_text("a dog\n\na cat\na bird\n")
    arguments = ("--prompts", "prompts.txt", "--num-prompts", 2, "--images-per-prompt", 1, "--out", "out")
    first = ddecli("sample", model, *arguments, "--shard", "2/2")
    assert "1 images so far" in first.out
    assert "1 empty prompts were skipped" in first.out
    assert "complete" in ddecli("sample", model, *arguments, "--shard", "1/2").out
    protocol = json.loads((tmp_path / "out" / "protocol.json").read_text())
    assert protocol["prompt_set"] == "prompts.txt"
    assert (protocol["num_prompts"], protocol["steps"], protocol["guidance_scale"]) == (2, 15, 2.0)
    assert protocol["sampler"] == "DDIM (eta 0)"
    assert protocol["resolution"] == 32


def test_prompts_of_the_world_are_the_default(ddecli: Run, model: Path, tmp_path: Path) -> None:
    typed = ddecli("sample", model, "--num-prompts", 2, *QUICK, "--out", "out")
    assert typed.code == 0, typed.error
    assert json.loads((tmp_path / "out" / "protocol.json").read_text())["prompt_set"] == "world:validation"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("no-such-model",), "no-such-model"),
        (("{model}", "--prompts", "none.txt"), "none.txt does not exist"),
        (("{model}", "--prompts", "world:nowhere"), "nowhere"),
        (("{model}", "--prompt", " "), "no prompt"),
        (("{model}", "--prompt", "a", "--prompts", "world:test"), "not both"),
        (("{model}", "--prompt", "a", "--shard", "3/2"), "--shard"),
        (("sd15",), "needs prompts"),
        (("{model}", "--prompt", "a", "--out", "file"), "Cannot write"),
    ],
)
def test_wrong_input_ends_in_one_sentence(
    ddecli: Run, model: Path, tmp_path: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    (tmp_path / "file").write_text("not a folder")
    typed = ddecli("sample", *(argument.format(model=model) for argument in arguments), *QUICK)
    assert typed.code == 2
    assert sentence in typed.error
    assert "Traceback" not in typed.error


def test_shards() -> None:
    assert parse_shard("2/4") == (2, 4)
    for text in ("0/2", "3/2", "x", "1/", "1/-2", ""):
        with pytest.raises(UserError):
            parse_shard(text)
