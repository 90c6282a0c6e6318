"""What is said of a setting beside its type: the option, panel and help it gets, or that a file alone gives it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

DATA, OBJECTIVE, OPTIMIZATION = "Model and data", "Objective", "Optimization"
MEMORY, WATCH, RUN = "Memory and speed", "Seeing it train", "Run"
PANELS = (DATA, OBJECTIVE, OPTIMIZATION, MEMORY, WATCH, RUN)
"""In which the help shows the options, in their order."""


@dataclass(frozen=True)
class Option:
    """A setting that the command line has an option for: its name with dashes, and of a switch also `--no-NAME`.

    help: `{default}` in it stands for the field's default.
    metavar: what stands for the value; its type if None.
    path: whether the command line takes it as a path.
    """

    panel: str
    help: str
    metavar: str | None = None
    path: bool = False


@dataclass(frozen=True)
class InFile:
    """A setting that `--config` alone can give; `note` follows its name in the help of that option."""

    note: str = ""


class Finite:
    """A number that is neither infinite nor NaN; the words are pydantic's, which is not imported for it."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], Any]) -> Any:
        return handler(source) | {"allow_inf_nan": False}
