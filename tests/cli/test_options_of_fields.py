"""Options that are made of the fields of settings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import typer
from annotated_types import Ge
from typer.testing import CliRunner

from ddecli.cli.options import in_file_alone, with_settings
from ddecli.training.described import DATA, RUN, InFile, Option
from ddecli.training.fields import LearningFields
from ddecli.training.run_fields import TrainFields


class Fields:
    out: Annotated[str, Option(RUN, "Folder.", path=True)] = ""
    rate: Annotated[float, Ge(0), Option(DATA, "Share; {default} if not given.")] = 4.0
    kind: Annotated[Literal["a", "b"], Option(DATA, "Kind.", metavar="a|b")] = "a"
    rank: Annotated[int | None, Option(DATA, "Rank.")] = None
    two_words: Annotated[bool, Option(DATA, "Switch.")] = False
    noted: Annotated[int, InFile(" (so many)")] = 3
    plain: Annotated[int, InFile()] = 3
    other: Annotated[int, InFile()] = 3
    filled_in: str | None = None


seen: list[Any] = []
app = typer.Typer(add_completion=False)


@app.command()
@with_settings(Fields)
def command(
    given: dict[str, Any], *, own: Annotated[bool, typer.Option("--own", rich_help_panel=RUN)] = False
) -> None:
    """Do."""
    seen.append((given, own))


NOTHING = dict.fromkeys(("out", "rate", "kind", "rank", "two_words"))


@pytest.mark.parametrize(
    ("words", "given", "own"),
    [
        ("", {}, False),
        ("--own --rank 3", {"rank": 3}, True),
        ("--out a//b/ --rate 0.5 --kind c", {"out": "a/b", "rate": 0.5, "kind": "c"}, False),
        ("--two-words", {"two_words": True}, False),
        ("--no-two-words", {"two_words": False}, False),
        ("--two-words --no-two-words", {"two_words": False}, False),
    ],
)
def test_a_command_gets_what_was_given(words: str, given: dict[str, Any], own: bool) -> None:
    assert CliRunner().invoke(app, words.split()).exit_code == 0
    assert seen.pop() == (NOTHING | given, own)


def test_what_a_field_says_is_what_the_help_says() -> None:
    parameters = {each.name: each for each in typer.main.get_command(app).params}
    shown = {name: (each.rich_help_panel, each.help, each.metavar) for name, each in parameters.items()}
    assert shown["rate"] == (DATA, "Share; 4 if not given.", None)
    assert shown["kind"] == (DATA, "Kind.", "a|b")
    assert parameters["no_two_words"].hidden and not parameters["two_words"].hidden
    assert list(parameters)[-2:] == ["out", "own"]  # behind the other panels
    assert in_file_alone(Fields) == "plain, other and noted (so many)"


def test_bounds_and_choices_are_left_to_the_settings() -> None:
    """They are the same in `--config`, and say so in the same words."""
    assert CliRunner().invoke(app, ["--rate", "-1", "--kind", "x"]).exit_code == 0
    assert seen.pop()[0]["rate"] == -1
    assert CliRunner().invoke(app, ["--rate", "x"]).exit_code == 2


def test_a_setting_has_one_name_everywhere() -> None:
    from ddecli.cli.train import train
    from ddecli.training.settings import TrainSettings

    assert list(TrainSettings.model_fields) == [*LearningFields.__annotations__, *TrainFields.__annotations__]
    options = train.__annotations__
    assert {name for name in options if name in TrainSettings.model_fields} == {
        name
        for name, field in TrainSettings.model_fields.items()
        if any(isinstance(about, Option) for about in field.metadata)
    }
    assert options["out"].__origin__ == Path | None
