"""Distinct prompts in a fixed order: duplicates and empty lines go."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from ddecli.core.errors import UserError
from ddecli.core.prompts import PromptRow
from ddecli.core.protocol import clean_prompt, prompts_sha256
from ddecli.core.text import is_text


@dataclass(frozen=True)
class PromptSet:
    """Distinct prompts in a fixed order.

    `empty` and `duplicates` count the lines that were left out; `rows` are all lines of the list that they come from,
    with what it says of them.
    """

    name: str
    prompts: tuple[str, ...]
    empty: int = 0
    duplicates: int = 0
    rows: tuple[PromptRow, ...] = ()

    @property
    def sha256(self) -> str:
        """SHA-256 of the prompts in order, one a line."""
        return prompts_sha256(self.prompts)


def prompt_set_of(name: str, rows: Sequence[PromptRow], first: int | None = None) -> PromptSet:
    """As `make_prompt_set`, of the rows of a list, which are kept."""
    return replace(make_prompt_set(name, [row.prompt for row in rows], first), rows=tuple(rows))


def make_prompt_set(name: str, prompts: Iterable[str], first: int | None = None) -> PromptSet:
    """Clean the prompts' spaces, drop empty and repeated ones, and keep the `first` of them (all when None).

    Raises:
        UserError: no prompt is left.
    """
    lines = [clean_prompt(prompt) for prompt in prompts]
    for number, line in enumerate(lines, 1):
        if not is_text(line):
            raise UserError(
                f"{name}: prompt {number} is no Unicode text, it holds half of a surrogate pair: {line[:60]}"
            )
    distinct = dict.fromkeys(line for line in lines if line)
    if not distinct:
        raise UserError(
            f"{name} has no prompt that is not empty. Give a file with one prompt a line, or --prompt TEXT."
        )
    empty = sum(not line for line in lines)
    return PromptSet(name, tuple(distinct)[:first], empty, len(lines) - empty - len(distinct))
