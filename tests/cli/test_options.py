"""What a user types: every command's options, their help, and how a wrong call ends, against a file.

After a change that is meant: `PYTHONPATH=tests python tests/cli/test_options.py`, and look at the difference.
The order of options within a panel is not compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from cli_checks import contents

from ddecli.cli import train
from ddecli.cli.app import app

FILE = Path(__file__).with_name("options.yaml")


def commands() -> Iterator[tuple[str, Any]]:
    """Every command by its words, groups among them."""
    waiting = [("ddecli", typer.main.get_command(app))]
    while waiting:
        words, command = waiting.pop(0)
        yield words, command
        waiting += [
            (f"{words} {name}", each) for name, each in sorted(getattr(command, "commands", {}).items())
        ]


def about(command: Any) -> dict[str, Any]:
    """What a user sees of a command, as plain data; what is empty, or as usual, is left out."""
    context = typer.Context(command)
    epilog = command.epilog and command.epilog.replace(str(train.LAUNCH), "LAUNCH")
    parameters = sorted(command.params, key=lambda each: each.param_type_name)
    panels = [panel for each in parameters if (panel := getattr(each, "rich_help_panel", None))]
    return _without_usual(
        {
            "help": command.help,
            "short_help": command.short_help,
            "epilog": epilog,
            "panels": list(dict.fromkeys(panels)),
            "parameters": {_called(each): _of_parameter(each, context) for each in parameters},
        }
    )


def _called(parameter: Any) -> str:
    """`--json`; an argument by the name that is shown."""
    if parameter.param_type_name == "argument":
        return str(parameter.display_name_raw)
    return ", ".join([*parameter.opts, *parameter.secondary_opts])


def _of_parameter(parameter: Any, context: typer.Context) -> dict[str, Any]:
    default = parameter.default
    return _without_usual(
        {
            "type": parameter.display_type(context),
            "metavar": parameter.metavar,
            "help": getattr(parameter, "help", None),
            "panel": getattr(parameter, "rich_help_panel", None),
            "default": str(default) if isinstance(default, Path) else default,
            "min": getattr(parameter, "min", None),
            "max": getattr(parameter, "max", None),
            "required": parameter.required,
            "several": parameter.multiple or parameter.nargs == -1,
            "hidden": getattr(parameter, "hidden", False),
            "environment": parameter.envvar,
        }
    )


def _without_usual(values: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in values.items()
        if value is not None and value is not False and value != []
    }


def everything() -> dict[str, Any]:
    return {words: about(command) for words, command in commands()}


KNOWN: dict[str, Any] = yaml.safe_load(FILE.read_text()) if FILE.exists() else {}


def test_there_are_the_commands_that_there_were() -> None:
    assert [words for words, _ in commands()] == list(KNOWN)
    assert len(KNOWN) > 20


@pytest.mark.parametrize("words", KNOWN)
def test_options_and_their_help_are_what_they_were(words: str) -> None:
    found = about(dict(commands())[words])
    known = KNOWN[words]
    assert {name: found[name] for name in found if name != "parameters"} == {
        name: known[name] for name in known if name != "parameters"
    }
    assert set(found.get("parameters", {})) == set(known.get("parameters", {}))
    for name, parameter in known.get("parameters", {}).items():
        assert found["parameters"][name] == parameter, name


NOT_UNDERSTOOD = {
    "nothing": "No such command 'nothing'.",
    "train --nothing": "No such option: --nothing",
    "train --steps": "Option '--steps' requires an argument.",
    "train --steps many --dry-run": "Invalid value for '--steps': Input should be a valid integer",
    "train extra --dry-run": "Got unexpected extra argument(s) (extra)",
    "train --loss nothing --dry-run": "Unknown loss 'nothing'; choose one of",
    "train --steps 0 --dry-run": "--steps 0: input should be greater than or equal to 1.",
    "train --lr inf --dry-run": "--lr inf: input should be a finite number.",
    "train --lr nan --dry-run": "--lr nan: input should be a finite number.",
    "train --beta 0 --dry-run": "--beta 0.0: input should be greater than 0.",
    "train --weight-ema 1 --dry-run": "--weight-ema 1.0: input should be less than 1.",
    "train --lora 5000 --dry-run": "--lora 5000: input should be less than or equal to 4096.",
    "train --max-winner-error 1 --dry-run": "--max-winner-error 1.0: input should be greater than 1.",
    "train --error other --dry-run": "--error 'other': input should be 'noise' or 'native'.",
    "train --device tpu --dry-run": "--device 'tpu': input should be 'auto', 'cpu' or 'cuda'.",
    "train --precision half --dry-run": "--precision 'half': input should be 'auto', 'float32', 'float16'",
    "train --optimizer sgd --dry-run": "--optimizer 'sgd': input should be 'adamw', 'adamw8bit' or 'adafactor'.",
    "train --size-condition x --dry-run": "--size-condition 'x': input should be 'target' or 'own'.",
    "train --segment 1-0 --dry-run": "The segment '1-0' is not a part of the trajectory;",
    "train --config none.yaml --dry-run": "none.yaml",
    "train --model sd15": "Give --data for --model sd15: a pair store made by ddecli prepare.",
    "prepare --device tpu": "Invalid value for '--device': Value error, 'tpu' is not one of 'auto', 'cpu', 'cuda'.",
    "prepare --holdout 0.6": "Invalid value for '--holdout': Input should be less than or equal to 0.5",
    "prepare --model sd15": "Give --data for --model sd15: a folder of pictures or parquet files.",
    "prepare --shard 3/2": "--shard 3/2 must be I/N with I from 1 to N, as in 1/4, and N at most 100,000.",
    "sample": "Missing argument 'model'.",
    "sample sd15": "sd15 needs prompts: give --prompts FILE (one prompt per line) or --prompt TEXT.",
    "sample tiny --prompts world:test --prompt a": "Give either --prompts or --prompt, not both.",
    "sample tiny --shard x": "--shard x must be I/N with I from 1 to N, as in 1/4, and N at most 100,000.",
    "score": "Missing argument 'source'.",
    "score x.png --scorer hps": "--scorer hps must be METRIC=FOLDER, with a metric such as hps.",
    "score x.png --metric nothing": "nothing",
    "inception x --shard 0/0": "--shard 0/0 must be I/N",
    "choose a": "Missing argument 'trials'.",
    "table": "Missing argument '[NUMBER] LABEL=FOLDER...'.",
    "table 2": "The table needs rows: write LABEL=FOLDER, as in DDE=images/tiny-dde.",
    "report x.yaml": "Missing option '--out'.",
    "figure nothing": "There is no figure 'nothing': choose from",
    "figure credit A=x": "Missing option '--out'.",
    "world build": "Missing option '--out'.",
}


@pytest.mark.parametrize("words", NOT_UNDERSTOOD)
def test_a_wrong_call_ends_as_it_did(words: str, ddecli: Callable[..., Any]) -> None:
    typed = ddecli(*words.split())
    assert (typed.code, typed.out) == (2, "")
    assert typed.error.startswith("Error: ") and typed.error.count("\n") == 1
    assert NOT_UNDERSTOOD[words] in typed.error
    assert contents(".") == {}


@pytest.mark.parametrize(
    "words",
    ["", "--version", "--help", "train -h", "figure", "world", "train --dry-run", "train --estimate --help"],
)
def test_a_call_that_only_asks_ends_well(words: str, ddecli: Callable[..., Any]) -> None:
    typed = ddecli(*words.split())
    assert (typed.code, typed.error) == (0, "") and typed.out
    assert contents(".") == {}


if __name__ == "__main__":
    FILE.write_text(yaml.safe_dump(everything(), sort_keys=False, width=110))
