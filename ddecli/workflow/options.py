"""Options of a command as a configuration gives them, without dashes: {"steps": 80, "metric": ["clip", "hps"]}."""

from __future__ import annotations

import difflib
import functools
import shlex
from collections.abc import Collection, Mapping
from typing import Any

from ddecli.core.errors import UserError

Options = Mapping[str, Any]

SET_BY_RULES = {
    "prepare": {"model", "out", "shard", "overwrite", "json", "help"},
    "train": {
        "model", "loss", "data", "out", "seed", "overwrite", "resume", "dry-run", "estimate", "push-to-hub", "json",
        "help",
    },
    "sample": {"out", "shard", "overwrite", "json", "help"},
    "score": {"out", "against", "prompt", "prompts", "json", "help"},
    "inception": {"shard", "json", "help"},
}  # fmt: skip
"""Options that the workflow's rules give themselves, or that would make a command do something else."""

ROUNDING_ONLY = {
    "prepare": {"batch-size", "workers", "device"},
    "train": {
        "micro-batch-size", "gradient-checkpointing", "no-gradient-checkpointing", "compile", "no-compile",
        "checkpoint-every", "reference",
    },
    "sample": {"batch-size"},
    "score": {"batch-size", "device"},
    "inception": {"batch-size", "device"},
}  # fmt: skip
"""Options that change speed, memory and rounding: what was made with other values of them is not made again.

Of `train` and `sample` the device is none of them: it decides about the precision, too.
"""


class NotRecorded:
    """Words of a command line that Snakemake does not compare with those of an earlier run.

    It compares parameters that are plain data, and no others.
    """

    def __init__(self, words: str) -> None:
        self.words = words

    def __str__(self) -> str:
        return self.words


def words_of(options: Options) -> list[str]:
    """Options as words of a command line; True is a bare flag, a list repeats the option."""
    words = []
    for name, value in options.items():
        for each in value if isinstance(value, list) else [value]:
            words += [f"--{name}"] if each is True else [f"--{name}", str(each)]
    return words


def flags(options: Options) -> str:
    """The same as one text, quoted for the shell."""
    return shlex.join(words_of(options))


def split_rounding(command: str, options: Options) -> tuple[Options, Options]:
    """The options that decide what a command makes, and those that change its rounding alone."""
    rounding = ROUNDING_ONLY[command]
    deciding = {name: value for name, value in options.items() if name not in rounding}
    return deciding, {name: value for name, value in options.items() if name in rounding}


def check_options(command: str, options: Options, place: str) -> dict[str, Any]:
    """The values of options as the command line understands them, by the names of its parameters.

    Args:
        command: such as `train`.
        place: where they are written, for the error: `models.tiny.train`.

    Raises:
        UserError: an option that the command does not have, or that is not to be set here, or a wrong value.
    """
    known = _parameters(command)
    values: dict[str, Any] = {}
    for name, value in options.items():
        key = f"{place}.{name}"
        if name not in known:
            raise UserError(f"{key}: ddecli {command} has no option --{name}{meant(name, known)}")
        if name in SET_BY_RULES[command]:
            raise UserError(f"{key}: the workflow itself decides about --{name}; leave it out.")
        if isinstance(value, list) and not known[name].multiple:
            raise UserError(f"{key}: --{name} is given once, not as a list.")
        values |= _parsed(command, name, value, known[name], key)
    return values


def meant(word: str, known: Collection[str]) -> str:
    """The end of a sentence about a word that is not known: what was meant, or else what there is."""
    names = [str(each) for each in known]
    near = difflib.get_close_matches(str(word), names, n=1)
    if near:
        return f"; did you mean {near[0]}?"
    return f"; there is {', '.join(names)}." if names else "."


def _parsed(command: str, name: str, value: Any, parameter: Any, key: str) -> dict[str, Any]:
    from typer.exceptions import TyperException

    words = words_of({name: value})
    try:
        context = _command(command).make_context(command, [*_argument(command), *words])
    except TyperException as error:
        raise UserError(f"{key}: {error.format_message().rstrip('.')}.") from error
    return {parameter.name: context.params[parameter.name]}


def _argument(command: str) -> list[str]:
    """What stands for the argument that a command needs besides options."""
    return [] if command in ("prepare", "train") else ["it"]


def _parameters(command: str) -> dict[str, Any]:
    """The options of a command, by their names without dashes."""
    parameters = _command(command).params
    found = {option: each for each in parameters for option in each.opts if option.startswith("--")}
    return {option.removeprefix("--"): each for option, each in found.items()}


@functools.cache
def _command(name: str) -> Any:
    import typer.main

    from ddecli.cli.app import app

    group: Any = typer.main.get_command(app)
    return group.commands[name]
