"""`ddecli sample` as it is typed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ddecli.cli.sample import parse_shard
from ddecli.core.errors import UserError

Run = Callable[..., Any]


QUICK = ("--steps", 1, "--images-per-prompt", 2)


def test_prompts_of_the_command_line(ddecli: Run, sd_folder: Path, tmp_path: Path) -> None:
    typed = ddecli("sample", sd_folder, "--prompt", "a dog", "--prompt", "a cat", *QUICK, "--json")
    assert typed.code == 0, typed.error
    summary = json.loads(typed.out)
    assert (summary["images"], summary["made"], summary["complete"]) == (4, 4, True)
    assert len((tmp_path / "images" / "random-sd" / "metadata.jsonl").read_text().splitlines()) == 4
    again = ddecli("sample", sd_folder, "--prompt", "a dog", "--prompt", "a cat", *QUICK)
    assert "0 images made, 4 kept" in again.out


def test_prompt_file_shards_and_defaults(ddecli: Run, sd_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_text("a dog\n\na cat\na bird\n")
    arguments = ("--prompts", "prompts.txt", "--num-prompts", 2, "--images-per-prompt", 1, "--out", "out")
    first = ddecli("sample", sd_folder, *arguments, "--shard", "2/2")
    assert "1 images so far" in first.out
    assert "1 empty prompts were skipped" in first.out
    assert "complete" in ddecli("sample", sd_folder, *arguments, "--shard", "1/2").out
    protocol = json.loads((tmp_path / "out" / "protocol.json").read_text())
    assert protocol["prompt_set"] == "prompts.txt"
    assert (protocol["num_prompts"], protocol["steps"], protocol["guidance_scale"]) == (2, 15, 2.0)
    assert protocol["sampler"] == "DDIM (eta 0)"
    assert protocol["resolution"] == 32


def test_prompts_of_the_world_are_the_default(ddecli: Run, sd_folder: Path, tmp_path: Path) -> None:
    typed = ddecli("sample", sd_folder, "--num-prompts", 2, *QUICK, "--out", "out")
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
    ddecli: Run, sd_folder: Path, tmp_path: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    (tmp_path / "file").write_text("not a folder")
    typed = ddecli("sample", *(argument.format(model=sd_folder) for argument in arguments), *QUICK)
    assert typed.code == 2
    assert sentence in typed.error
    assert "Traceback" not in typed.error


def test_shards() -> None:
    assert parse_shard("2/4") == (2, 4)
    for text in ("0/2", "3/2", "x", "1/", "1/-2", ""):
        with pytest.raises(UserError):
            parse_shard(text)
