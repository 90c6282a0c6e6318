"""The command line as a whole: help, versions, imports, how errors reach the user."""

from __future__ import annotations

import inspect
import io
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from rich.console import Console
from rich.markdown import Markdown

from ddecli import __version__
from ddecli.cli import train
from ddecli.cli.app import app
from ddecli.training.settings import TrainSettings

COMMANDS = (
    "collect",
    "prepare",
    "train",
    "sample",
    "score",
    "inception",
    "choose",
    "table",
    "figure",
    "report",
    "list",
    "workflow",
    "world",
)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "ddecli", *arguments], capture_output=True, text=True)


def test_help_names_every_command_and_imports_nothing_heavy() -> None:
    heavy = ("torch", "numpy", "transformers", "diffusers", "pydantic", "pyarrow", "matplotlib")
    code = f"import sys; import ddecli.cli.app; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    help_text = run("--help").stdout
    assert all(command in help_text for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    done = run(command, "--help")
    assert done.returncode == 0
    assert "Usage" in done.stdout


def test_every_training_setting_is_an_option_or_named_in_the_help_of_config() -> None:
    """All but what a run fills in."""
    options = inspect.signature(train.train, eval_str=True).parameters
    (config,) = (meta for meta in options["config"].annotation.__metadata__ if meta.help)
    names = {"compile" if name == "compile_blocks" else name for name in options}
    filled_in = {"pairs_sha256", "model_sha256", "model_revision", "reference_sha256"}
    for field in set(TrainSettings.model_fields) - filled_in:
        assert field in names or field in re.findall(r"\w+", config.help), field


def test_no_command_calls_another() -> None:
    """What two commands do lies below them, what two of them read of a command line in modules of its own."""
    folder = Path(train.__file__).parent
    for file in folder.glob("*.py"):
        called = set(re.findall(r"from ddecli\.cli\.(\w+) import", file.read_text()))
        assert file.name == "app.py" or not called & set(COMMANDS), file.name


def test_train_says_where_the_launch_configurations_are() -> None:
    assert str(train.LAUNCH) in train.EPILOG
    for name in ("8-gpus-ddp.yaml", "8-gpus-fsdp2.yaml"):
        assert name in train.EPILOG and (train.LAUNCH / name).is_file()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], (None, None)),
        (["--gradient-checkpointing", "--compile"], (True, True)),
        (["--no-gradient-checkpointing", "--no-compile"], (False, False)),
    ],
)
def test_switches_can_be_turned_off_or_left_to_the_recipe(
    words: list[str], expected: tuple[bool | None, bool | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Given(Exception):
        pass

    def resolve(given: dict[str, object], config: object) -> None:
        raise Given(given["gradient_checkpointing"], given["compile"])

    monkeypatch.setattr("ddecli.training.settings.resolve_settings", resolve)
    with pytest.raises(Given) as found:
        app(["train", *words], standalone_mode=False)
    assert found.value.args == expected


def shown(text: str) -> str:
    """Letters, digits and underscores of a help text as a terminal shows them."""
    console = Console(file=io.StringIO(), width=10_000)
    console.print(Markdown(text))
    return re.sub(r"\W", "", console.file.getvalue())  # type: ignore[attr-defined]


def test_no_word_of_the_help_is_lost_in_markdown() -> None:
    """What looks like a tag, as in images/<name>, is not shown at all."""
    assert shown("images/<name>, by size_of_it") == "imagesbysize_of_it"
    commands = [typer.main.get_command(app)]
    seen = 0
    for command in commands:
        commands += getattr(command, "commands", {}).values()
        helps = [getattr(parameter, "help", None) for parameter in command.params]
        for text in filter(None, [command.help, command.epilog, command.short_help, *helps]):
            assert shown(text) == re.sub(r"\W", "", text), text
            seen += 1
    assert seen > 100


def test_version() -> None:
    assert run("--version").stdout.strip() == f"ddecli {__version__}"


def test_completion_is_offered() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ddecli", "--show-completion", "bash"],
        env=os.environ | {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"},  # there may be no shell above
        capture_output=True,
        text=True,
    )
    assert "complet" in done.stdout.lower() + done.stderr.lower()


def test_errors_are_one_sentence_and_debug_shows_the_traceback() -> None:
    done = run("train", "--model", "no-such-model", "--dry-run")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "no-such-model" in done.stderr
    assert "Traceback" in run("--debug", "train", "--model", "no-such-model", "--dry-run").stderr


def test_help_answers_quickly() -> None:
    """Processor time, for the machine may be busy; half a second is what is wanted."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    assert run("--help").returncode == 0
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < 2


def test_a_dry_run_begins_nothing(tmp_path: Path) -> None:
    assert run("train", "--dry-run", "--out", str(tmp_path / "run")).returncode == 0
    assert not (tmp_path / "run").exists()
