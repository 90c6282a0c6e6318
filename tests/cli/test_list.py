"""`ddecli list` and what a shell is offered at Tab, without heavy imports; and the first word of a slow command."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ddecli.models.presets import presets
from ddecli.objectives.registry import LOSSES
from ddecli.scoring.published import METRICS
from ddecli.training.settings import resolve_settings

if TYPE_CHECKING:
    from conftest import Typed

NO_TORCH = "import sys; sys.modules['torch'] = None; from ddecli.__main__ import main; main()"


@pytest.mark.parametrize(
    ("what", "names"), [("losses", list(LOSSES)), ("metrics", list(METRICS)), ("models", list(presets()))]
)
def test_all_names_are_listed(ddecli: Callable[..., Typed], what: str, names: list[str]) -> None:
    assert [row["name"] for row in json.loads(ddecli("list", what, "--json").out)] == names
    shown = [line.split()[0] for line in ddecli("list", what).out.splitlines() if line[:1].isalpha()]
    assert shown == ["name", *names]


def test_prompts_can_be_sampled_by_the_names_that_are_listed(ddecli: Callable[..., Typed]) -> None:
    rows = {row["name"]: row for row in json.loads(ddecli("list", "prompts", "--json").out)}
    assert rows["world:test"]["prompts"] == "400" and rows["partiprompts"]["prompts"] == "1,632"
    assert "geneval=PATH" in rows["geneval"]["from"]


def test_recipes_are_those_that_a_run_takes(ddecli: Callable[..., Typed]) -> None:
    rows = json.loads(ddecli("list", "recipes", "--json").out)
    found = {(row["model"], row["loss"]): row for row in rows}
    for model, loss, lora in (("tiny", "dde", None), ("sd15", "uniform", None), ("sdxl", "dde", 16)):
        settings = resolve_settings({"model": model, "loss": loss, "lora": lora})
        row = found[model + (" --lora" if lora else ""), loss]
        assert float(row["lr"]) == settings.lr and int(row["steps"]) == settings.steps
        assert float(row["beta"]) == settings.beta and row["optimizer"] == settings.optimizer


def offered(line: str) -> list[str]:
    """What bash gets when Tab is pressed at the end of a line."""
    env = os.environ | {
        "_DDECLI_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(line.split(" ")) - 1),
    }
    done = subprocess.run([sys.executable, "-c", NO_TORCH], env=env, capture_output=True, text=True)
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("ddecli train --loss dp", ["dpo"]),
        ("ddecli train --optimizer ", ["adamw", "adamw8bit", "adafactor"]),
        ("ddecli train --model sd", ["sd15", "sdxl"]),
        ("ddecli train --model runs/", ["runs/mine/"]),
        ("ddecli sample t", ["tiny", "tiny-xl"]),
        ("ddecli score a --metric image", ["imagereward"]),
        ("ddecli train --beta ", ["auto"]),
        ("ddecli list mo", ["models"]),
    ],
)
def test_a_shell_is_offered_values_without_torch(line: str, words: list[str]) -> None:
    Path("runs/mine").mkdir(parents=True)
    assert offered(line) == words


def test_a_slow_command_says_a_word_at_once_on_a_terminal() -> None:
    """Before it imports torch, which is not there in this process."""
    main, side = pty.openpty()
    command = [sys.executable, "-c", NO_TORCH, "sample", "tiny", "--prompt", "a"]
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=side, stderr=side)
    first = os.read(main, 100).decode()
    assert first.startswith("ddecli sample: starting ...") and time.monotonic() - began < 20
    process.wait()
    for stream in (main, side):
        os.close(stream)
    piped = subprocess.run(command, capture_output=True, text=True)
    assert "starting" not in piped.stdout + piped.stderr
