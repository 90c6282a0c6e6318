"""Ctrl-C and SIGTERM: every command says how to go on, and the way it says is right."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from killed import temporaries
from pair_data import write_folder

from ddecli.cli.stop import way_on

Run = Callable[..., Any]
KEPT = "What was finished is kept; run the same command again to go on."
OVER = "Run the same command again to start over."
ADD = "To go on from the last checkpoint, add --resume to the same command."
SAME = "To go on from the last checkpoint, run the same command again."
COMMANDS: list[tuple[tuple[str, ...], str, str]] = [
    (("prepare", "--data", "world"), "ddecli.data.prepare.prepare_source", KEPT),
    (("train",), "ddecli.training.settings.resolve_settings", ADD),
    (("--debug", "train", "--resume"), "ddecli.training.settings.resolve_settings", SAME),
    (("train", "--overwrite"), "ddecli.training.settings.resolve_settings", SAME),
    (("train", "--estimate"), "ddecli.training.settings.resolve_settings", OVER),
    (("sample", "tiny", "--prompt", "a"), "ddecli.models.load.load_for_sampling", KEPT),
    (("score", "pictures", "--prompt", "a"), "ddecli.scoring.sources.read_source", OVER),
    (("inception", "pictures"), "ddecli.scoring.inception_score.inception_score", KEPT),
    (("choose", "a", "b"), "ddecli.core.scores.load_scores", OVER),
    (("table", "2", "A=a"), "ddecli.tables.build.build_table", OVER),
    (("figure", "coefficients", "--out", "out"), "ddecli.models.load.load_schedule", OVER),
    (("report", "x.yaml", "--out", "out"), "ddecli.reproduction.article.write.write_report", OVER),
    (("world", "show"), "ddecli.tinyworld.show.show_world", OVER),
    (("world", "build", "--out", "out"), "ddecli.tinyworld.build.build", KEPT),
]


@pytest.mark.parametrize(
    ("words", "inside", "sentence"), COMMANDS, ids=[" ".join(words) for words, _, _ in COMMANDS]
)
def test_every_command_says_how_to_go_on(
    ddecli: Run, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], inside: str, sentence: str
) -> None:
    monkeypatch.setenv("DDECLI_DEBUG", "")  # set by --debug; gone again after the test
    monkeypatch.delenv("DDECLI_DEBUG")
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):

        def stop(*given: Any, number: int = number, **named: Any) -> None:
            signal.raise_signal(number)

        monkeypatch.setattr(inside, stop)
        typed = ddecli(*words)
        assert typed.code == code
        assert typed.error.splitlines()[-1] == f"Stopped. {sentence}"
        assert "Traceback" not in typed.error and "Error" not in typed.error
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    monkeypatch.setenv("RANK", "1")
    assert "Stopped" not in ddecli(*words).error  # another process of the same launch says it


def test_every_command_is_known() -> None:
    from ddecli.cli.app import app

    names = {command.name for command in app.registered_commands} | {
        group.name for group in app.registered_groups
    }
    tried = {next(word for word in words if not word.startswith("-")) for words, _, _ in COMMANDS}
    assert tried == names
    assert way_on([]) == OVER


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_training_goes_on_as_it_is_told(
    ddecli: Run, sd_folder: Path, sd_store: Path, number: signal.Signals, code: int
) -> None:
    words = [
        "train",
        "--model",
        sd_folder,
        "--data",
        sd_store,
        "--device",
        "cpu",
        "--batch-size",
        2,
        "--out",
        "run",
    ]
    words += ["--checkpoint-every", 1]
    process = subprocess.Popen(
        [sys.executable, "-m", "ddecli", *map(str, words), "--steps", "100000"],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    began = time.monotonic()
    while not list(Path("run/checkpoints").glob("step-*")) and time.monotonic() - began < 120:
        time.sleep(0.2)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == code
    assert said.splitlines()[-1] == f"Stopped. {ADD}"
    assert not temporaries(Path("run"))
    steps = max(int(path.name[5:]) for path in Path("run/checkpoints").iterdir())
    typed = ddecli(*words, "--steps", steps + 1, "--resume")
    assert typed.code == 0, typed.error
    assert len(Path("run/metrics.jsonl").read_text().splitlines()) == steps + 1


def test_nothing_half_written_is_left(ddecli: Run, sd_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(Path("data"), [{"prompt": "a", "chosen": "0.png", "rejected": "1.png"}], 2)

    def stop(*given: Any, **named: Any) -> None:
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr("ddecli.data.job.encode_part", stop)
    typed = ddecli("prepare", "--model", sd_folder, "--data", "data", "--out", "store")
    assert typed.code == 143 and not temporaries(Path()) and not Path("store").exists()
