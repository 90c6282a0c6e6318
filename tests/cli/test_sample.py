"""`ddecli sample` as it is typed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli_checks import assert_one_sentence

from ddecli.cli.sample import parse_shard
from ddecli.core.errors import UserError
from ddecli.core.files import sha256_text
from ddecli.core.protocol import read_protocol
from ddecli.core.sealed import write_sealed
from ddecli.core.world import TINY

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
    assert (protocol["num_prompts"], protocol["steps"], protocol["guidance_scale"]) == (2, 50, 7.5)
    assert protocol["sampler"] == "DDIM (eta 0)"
    assert protocol["resolution"] == 32


def test_processes_that_were_launched_together_share_the_work(
    ddecli: Run, sd_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = (
        "--prompt",
        "a dog",
        "--prompt",
        "a cat",
        "--images-per-prompt",
        1,
        "--steps",
        1,
        "--out",
        "out",
    )
    monkeypatch.setenv("WORLD_SIZE", "2")
    made = []
    for rank in ("1", "0"):
        monkeypatch.setenv("RANK", rank)
        typed = ddecli("sample", sd_folder, *arguments, "--json")
        assert typed.code == 0, typed.error
        summary = json.loads(typed.out)
        made.append((summary["made"], summary["complete"]))
    assert made == [(1, False), (1, True)]


def test_a_set_of_prompts_by_name(ddecli: Run, sd_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "my.csv").write_text("id,caption\n1,a dog\n2,a cat\n3,a dog\n")
    typed = ddecli("sample", sd_folder, "--prompts", "pickapic-validation=my.csv", *QUICK, "--out", "out")
    assert typed.code == 0, typed.error
    assert "3 prompts were read, 500 are published" in typed.error
    assert "1 repeated prompts were skipped" in typed.out
    protocol = json.loads((tmp_path / "out" / "protocol.json").read_text())
    assert (protocol["prompt_set"], protocol["num_prompts"]) == ("pickapic-validation", 2)
    assert protocol["prompts_sha256"] == sha256_text("a dog\na cat")


def test_imagenet_classes(ddecli: Run, sd_folder: Path, tmp_path: Path) -> None:
    typed = ddecli(
        "sample", sd_folder, "--prompts", "imagenet-classes", "--num-prompts", 2, *QUICK, "--out", "out"
    )
    assert typed.code == 0, typed.error
    rows = [json.loads(line) for line in (tmp_path / "out" / "metadata.jsonl").read_text().splitlines()]
    assert [row["prompt"] for row in rows[::2]] == ["A photo of tench", "A photo of goldfish"]


def test_prompts_of_the_world_are_the_default_of_its_models_alone(
    ddecli: Run, sd_folder: Path, tmp_path: Path
) -> None:
    typed = ddecli("sample", "tiny", "--num-prompts", 2, *QUICK, "--out", "out")
    assert typed.code == 0, typed.error
    protocol = json.loads((tmp_path / "out" / "protocol.json").read_text())
    assert (protocol["prompt_set"], protocol["world"]) == ("world:validation", TINY)
    own = ddecli("sample", sd_folder, "--prompt", "a dog", *QUICK, "--out", "own")
    assert own.code == 0, own.error
    assert json.loads((tmp_path / "own" / "protocol.json").read_text())["world"] is None
    assert_one_sentence(ddecli("sample", sd_folder, *QUICK, "--out", "none"), "needs prompts")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("no-such-model",), "no-such-model"),
        (("{model}", "--prompts", "none.txt"), "none.txt does not exist"),
        (("{model}", "--prompts", "world:nowhere"), "nowhere"),
        (("{model}", "--prompts", "hpsv2=none"), "none does not exist"),
        (("{model}", "--prompts", "imagenet-classes=x"), "comes with ddecli"),
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


def test_spacing_of_timesteps_is_part_of_the_protocol(ddecli: Run, sd_folder: Path, tmp_path: Path) -> None:
    sample = ("sample", sd_folder, "--prompt", "a dog", *QUICK, "--out", "out")
    assert ddecli(*sample).code == 0
    file = tmp_path / "out" / "protocol.json"
    protocol = read_protocol(file.parent)
    assert protocol["spacing"] == "leading"
    refused = ddecli(*sample, "--spacing", "trailing")
    assert_one_sentence(refused, "spacing 'leading', now 'trailing'", "--overwrite")
    other = ddecli(*sample[:-1], "other", "--spacing", "trailing")
    assert other.code == 0, other.error
    write_sealed(file, {key: value for key, value in protocol.items() if key != "spacing"})
    for asked in ((), ("--spacing", "leading")):  # a sample of an earlier version
        typed = ddecli(*sample, *asked)
        assert typed.code == 0 and "0 images made, 2 kept" in typed.out, typed.error
    assert_one_sentence(ddecli(*sample, "--spacing", "trailing"), "spacing 'leading', now 'trailing'")
