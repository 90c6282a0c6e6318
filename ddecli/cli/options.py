"""Options that several commands share, and options that are made from the fields of settings."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import typer

from ddecli.cli.completion import BY_SETTING, among
from ddecli.core.errors import UserError
from ddecli.core.limits import MAX_SHARDS
from ddecli.training.described import PANELS, InFile, Option

Device = Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="auto takes the GPU if there is one.")]
SummaryAsJson = Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")]

Command = Callable[..., None]


def with_settings(fields: type) -> Callable[[Command], Command]:
    """Give a command an option for every field of `fields` that is described by an `Option`.

    The command gets them as its first argument, `given`: values by the fields' names, None where an option was not
    given. What else it takes are options of its own, which stand behind those of the fields.
    """
    described = sorted(_described(fields, Option), key=lambda field: PANELS.index(field[2].panel))

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def called(**values: Any) -> None:
            command({name: _taken(values, name) for name, _, _ in described}, **values)

        hints = get_type_hints(command, include_extras=True)
        parameters = [parameter for field in described for parameter in _parameters(fields, *field)]
        parameters += [
            own.replace(annotation=hints[own.name])
            for own in list(inspect.signature(command).parameters.values())[1:]
        ]
        called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        called.__annotations__ = {each.name: each.annotation for each in parameters}
        return called

    return decorate


def in_file_alone(fields: type) -> str:
    """The settings that have no option, in words; first those of which nothing is said."""
    named = sorted(_described(fields, InFile), key=lambda field: field[2].note != "")
    *most, last = [name + about.note for name, _, about in named]
    return f"{', '.join(most)} and {last}"


def _described(fields: type, kind: type) -> list[tuple[str, Any, Any]]:
    """Name, type and description of the fields that have one of this kind."""
    return [
        (name, get_args(hint)[0], about)
        for name, hint in get_type_hints(fields, include_extras=True).items()
        for about in getattr(hint, "__metadata__", ())
        if isinstance(about, kind)
    ]


def _parameters(fields: type, name: str, kind: Any, option: Option) -> Iterator[inspect.Parameter]:
    """The option of a field; of a switch also the hidden one that turns it off. Bounds and choices settings check."""
    default = getattr(fields, name, None)
    shown = f"{default:g}" if isinstance(default, float) else str(default)
    about: dict[str, Any] = {"rich_help_panel": option.panel, "help": option.help.replace("{default}", shown)}
    if kind is bool:
        dashed = name.replace("_", "-")
        yield _parameter(name, bool, typer.Option(f"--{dashed}", **about), False)
        yield _parameter(f"no_{name}", bool, typer.Option(f"--no-{dashed}", hidden=True), False)
        return
    words = [get_args(each) for each in get_args(kind) if get_origin(each) is Literal]
    if words:  # a number, or one of these
        number = get_args(get_args(kind)[0])[0]  # behind its bounds
        about["parser"] = functools.partial(_number_or, number, words[0])
    choices = words[0] if words else get_args(kind) if get_origin(kind) is Literal else ()
    if choices:
        about["autocompletion"] = among(choices)
    elif name in BY_SETTING:
        about["autocompletion"] = BY_SETTING[name]
    read = Path if option.path else str if choices else kind
    yield _parameter(name, read | None, typer.Option(metavar=option.metavar, **about), None)


def _number_or(kind: type, words: tuple[str, ...], text: str) -> float | str:
    """Read a number, int or float, or one of some words."""
    try:
        return text if text in words else kind(text)
    except ValueError:
        number = "a whole number" if kind is int else "a number"
        raise typer.BadParameter(f"{text!r} is neither {number} nor {' or '.join(words)}.") from None


def _parameter(name: str, kind: Any, option: Any, default: Any) -> inspect.Parameter:
    annotation = Annotated[kind, option]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _taken(values: dict[str, Any], name: str) -> Any:
    """Take a setting out of the values of options; None where it was not given. The negative of a switch wins."""
    value = values.pop(name)
    if f"no_{name}" in values:
        return False if values.pop(f"no_{name}") else value or None
    if isinstance(value, list):
        return value or None
    return str(value) if isinstance(value, Path) else value


def parse_shard(text: str | None) -> tuple[int, int]:
    """`"2/4"` is (2, 4); None is this process's share of what `accelerate launch` or torchrun started."""
    if text is None:
        from ddecli.core.devices import share_of_processes

        return share_of_processes()
    part, _, parts = text.partition("/")
    digits = len(str(MAX_SHARDS))
    if not (part.isdecimal() and parts.isdecimal() and max(len(part), len(parts)) <= digits):
        part, parts = "0", "0"
    if not 1 <= int(part) <= int(parts) <= MAX_SHARDS:
        raise UserError(
            f"--shard {text} must be I/N with I from 1 to N, as in 1/4, and N at most {MAX_SHARDS:,}."
        )
    return int(part), int(parts)


def by_metric(option: str, what: str, texts: list[str]) -> list[tuple[str, str]]:
    """Read METRIC=VALUE texts."""
    parts = [text.partition("=") for text in texts]
    for metric, equals, value in parts:
        if not (metric and equals and value):
            raise UserError(
                f"{option} {metric}{equals}{value} must be METRIC={what}, with a metric such as hps."
            )
    return [(metric, value) for metric, _, value in parts]
