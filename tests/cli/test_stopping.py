"""Ctrl-C and SIGTERM: every command says how to go on, and the way it says is right."""

from __future__ import annotations

import json
import os
import shlex
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
from ddecli.cli.train import LAUNCH

Run = Callable[..., Any]
KEPT = "What was finished is kept; run the same command again to go on."
OVER = "Run the same command again to start over."
AGAIN = "To go on from the last checkpoint: "
COMMANDS: list[tuple[tuple[str, ...], str, str]] = [
    (("collect", "a", "b"), "ddecli.collect.pairs.read_source", KEPT),
    (("prepare", "--data", "world"), "ddecli.data.prepare.prepare_source", KEPT),
    (("train",), "ddecli.training.settings.resolve_settings", f"{AGAIN}ddecli train --resume"),
    (
        ("--debug", "train", "--resume"),
        "ddecli.training.settings.resolve_settings",
        f"{AGAIN}ddecli --debug train --resume",
    ),
    (
        ("train", "--overwrite"),
        "ddecli.training.settings.resolve_settings",
        f"{AGAIN}ddecli train --overwrite",
    ),
    (("train", "--reference-only"), "ddecli.training.settings.resolve_settings", KEPT),
    (("train", "--estimate"), "ddecli.training.settings.resolve_settings", OVER),
    (("sample", "tiny", "--prompt", "a"), "ddecli.models.load.load_for_sampling", KEPT),
    (("score", "pictures", "--prompt", "a"), "ddecli.scoring.sources.read_source", OVER),
    (("inception", "pictures"), "ddecli.scoring.inception_score.inception_score", KEPT),
    (("distance", "pictures", "others"), "ddecli.scoring.distances.distances", OVER),
    (("choose", "a", "b"), "ddecli.core.scores.load_scores", OVER),
    (("table", "2", "A=a"), "ddecli.tables.build.build_table", OVER),
    (("figure", "coefficients", "--out", "out"), "ddecli.models.schedulers.load_schedule", OVER),
    (
        ("export", "pictures", "--layout", "geneval", "--out", "out"),
        "ddecli.export.export.export_images",
        OVER,
    ),
    (("card", "run", "images"), "ddecli.publishing.card.show_in_card", OVER),
    (("merge", "tiny", "--out", "out"), "ddecli.models.merge.merge", OVER),
    (("report", "x.yaml", "--out", "out"), "ddecli.reproduction.article.write.write_report", OVER),
    (("list", "losses"), "ddecli.cli.listing.rows_of", OVER),
    (("workflow", "init", "out"), "ddecli.core.workflow_files.write_workflow", OVER),
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
    assert way_on(["ddecli"]) == OVER


def words(model: Path, pairs: Path, out: str, steps: int, *more: object) -> list[str]:
    """A training whose steps are short, and that writes no checkpoint by itself."""
    given = ["train", "--model", model, "--data", pairs, "--device", "cpu", "--batch-size", 2, "--out", out]
    return [str(word) for word in (*given, "--reference", "compute", "--steps", steps, *more)]


def until(condition: Callable[[], bool], seconds: float = 240) -> None:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds
        time.sleep(0.1)


def steps_of(run: str) -> list[dict[str, Any]]:
    log = Path(run, "metrics.jsonl")
    lines = log.read_text().splitlines(keepends=True) if log.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def started(*command: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", *command], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_training_finishes_its_step_and_goes_on_by_the_command_that_it_says(
    ddecli: Run, sd_folder: Path, sd_store: Path, number: signal.Signals, code: int
) -> None:
    process = started("ddecli", *words(sd_folder, sd_store, "a run", 3000, "--checkpoint-every", 3000))
    until(lambda: len(steps_of("a run")) > 2)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == code, said
    assert "Stopping: the step is finished and a checkpoint written first." in said
    assert not temporaries(Path("a run"))
    steps = len(steps_of("a run"))
    assert [path.name for path in Path("a run/checkpoints").iterdir()] == [f"step-{steps:06d}"]
    way, _, command = said.splitlines()[-1].rpartition(": ")
    assert way == (
        f"Stopped after step {steps} of 3000; its checkpoint is written. To go on from the last checkpoint"
    )
    typed = shlex.split(command)
    assert typed[:3] == ["python", "-m", "ddecli"] and typed[-1] == "--resume"
    more = ("--checkpoint-every", 3, "--steps", steps + 2)
    went_on = ddecli(*typed[3:], *more)
    assert went_on.code == 0 and f"a run goes on from step {steps} of {steps + 2}." in went_on.error
    assert ddecli(*words(sd_folder, sd_store, "whole", steps + 2)).code == 0
    measured = {"pairs_per_second", "memory_mb"}
    one, two = (
        [{k: v for k, v in line.items() if k not in measured} for line in steps_of(run)]
        for run in ("a run", "whole")
    )
    assert one == two


def stopped_at(monkeypatch: pytest.MonkeyPatch, step: int, *numbers: int) -> None:
    """Send signals while a step is made."""
    from ddecli.training.trainer import Trainer

    made = Trainer.step

    def make(self: Trainer, now: int, *given: Any) -> Any:
        if now == step:
            for number in numbers:
                signal.raise_signal(number)
        return made(self, now, *given)

    monkeypatch.setattr(Trainer, "step", make)


def test_a_second_ctrl_c_stops_at_once(
    ddecli: Run, sd_folder: Path, sd_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped_at(monkeypatch, 1, signal.SIGINT, signal.SIGINT)
    typed = ddecli(*words(sd_folder, sd_store, "run", 3))
    assert typed.code == 130
    assert typed.error.splitlines()[-1].startswith(f"Stopped. {AGAIN}ddecli train --model")
    assert not Path("run/checkpoints").exists() and len(steps_of("run")) == 1
    assert signal.getsignal(signal.SIGINT) == signal.default_int_handler
    stopped_at(monkeypatch, 5, signal.SIGINT)
    again = ddecli(*words(sd_folder, sd_store, "run", 3, "--resume"))
    assert again.code == 130, again.error  # step 1 sends its signals once more
    assert "run holds no checkpoint: training begins at step 0." in again.error


def test_sigterm_may_come_twice(
    ddecli: Run, sd_folder: Path, sd_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cluster sends it to every process, and a launcher passes its own on."""
    stopped_at(monkeypatch, 1, signal.SIGTERM, signal.SIGTERM)
    typed = ddecli(*words(sd_folder, sd_store, "run", 3))
    assert typed.code == 143 and "Stopped after step 2 of 3; its checkpoint is written. " in typed.error


def test_a_run_that_is_told_so_in_its_last_step_is_finished(
    ddecli: Run, sd_folder: Path, sd_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped_at(monkeypatch, 1, signal.SIGINT)
    typed = ddecli(*words(sd_folder, sd_store, "run", 2))
    assert typed.code == 130 and "Stopped after the last of 2 steps; the model is written. " in typed.error
    assert Path("run/model/unet").is_dir()
    again = ddecli(*words(sd_folder, sd_store, "run", 2, "--resume"))
    assert again.code == 0 and "run is finished" in again.error


def test_resuming_says_why_it_begins_at_the_first_step(ddecli: Run, sd_folder: Path, sd_store: Path) -> None:
    typed = ddecli(*words(sd_folder, sd_store, "run", 1, "--resume"))
    assert typed.code == 0 and "run holds no run yet: training begins at step 0." in typed.error
    typed = ddecli(*words(sd_folder, sd_store, "run", 1, "--seed", 1, "--overwrite"))
    said = "run held a run of other settings or pairs and is replaced: training begins at step 0."
    assert typed.code == 0 and said in typed.error


@pytest.mark.parametrize("told", ["launcher", "second process"])
def test_all_processes_stop_at_one_step(sd_folder: Path, sd_store: Path, told: str) -> None:
    """Whether the launcher is told, which tells every process, or one process alone."""
    launch = [
        "accelerate.commands.launch",
        "--config_file",
        str(LAUNCH / "8-gpus-ddp.yaml"),
        "--num_processes",
        "2",
    ]
    launch += ["--main_process_port", "29631" if told == "launcher" else "29633"]
    process = started(*launch, "-m", "ddecli", *words(sd_folder, sd_store, "run", 3000))
    until(lambda: len(steps_of("run")) > 2)
    if told == "launcher":
        process.send_signal(signal.SIGTERM)
    else:
        os.kill(_process_of_rank(1, process.pid), signal.SIGTERM)
    _, said = process.communicate(timeout=120)
    steps = len(steps_of("run"))
    assert process.returncode != 0
    assert f"Stopped after step {steps} of 3000; its checkpoint is written. " in said, said
    assert "launch as before with: -m ddecli train" in said
    assert Path(f"run/checkpoints/step-{steps:06d}").is_dir()


def _process_of_rank(rank: int, launcher: int) -> int:
    """The process that a launcher started for a rank."""
    for number in map(int, Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()):
        if f"\0RANK={rank}\0" in Path(f"/proc/{number}/environ").read_text():
            return number
    raise AssertionError


def test_nothing_half_written_is_left(ddecli: Run, sd_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(Path("data"), [{"prompt": "a", "chosen": "0.png", "rejected": "1.png"}], 2)

    def stop(*given: Any, **named: Any) -> None:
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr("ddecli.data.job.encode_part", stop)
    typed = ddecli("prepare", "--model", sd_folder, "--data", "data", "--out", "store")
    assert typed.code == 143 and not temporaries(Path()) and not Path("store").exists()
