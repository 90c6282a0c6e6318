"""Where prompts come from: a text file, a jsonl file, or a list; duplicates and empty lines go."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ddecli.core.errors import UserError
from ddecli.core.files import sha256_text
from ddecli.core.protocol import clean_prompt


@dataclass(frozen=True)
class PromptSet:
    """Distinct prompts in a fixed order.

    `empty` and `duplicates` count the lines that were left out.
    """

    name: str
    prompts: tuple[str, ...]
    empty: int = 0
    duplicates: int = 0

    @property
    def sha256(self) -> str:
        """SHA-256 of the prompts in order, one a line."""
        return sha256_text("\n".join(self.prompts))


def make_prompt_set(name: str, prompts: Iterable[str], first: int | None = None) -> PromptSet:
    """Clean the prompts' spaces, drop empty and repeated ones, and keep the `first` of them (all when None).

    Raises:
        UserError: no prompt is left.
    """
    lines = [clean_prompt(prompt) for prompt in prompts]
    distinct = dict.fromkeys(line for line in lines if line)
    if not distinct:
        raise UserError(
            f"{name} has no prompt that is not empty. Give a file with one prompt a line, or --prompt TEXT."
        )
    empty = sum(not line for line in lines)
    return PromptSet(name, tuple(distinct)[:first], empty, len(lines) - empty - len(distinct))


def read_prompts(path: Path) -> list[str]:
    """Read the prompts of a text file (one a line) or of a `.jsonl` file (key `prompt`), empty ones included.

    Raises:
        UserError: the file is missing, is not UTF-8 text, or a jsonl line has no `prompt` text.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError as error:
        raise UserError(
            f"Prompt file {path} does not exist. Give a text file, world:validation or world:test."
        ) from error
    except UnicodeDecodeError as error:
        raise UserError(f"Prompt file {path} is not UTF-8 text: {error}. Save it as UTF-8.") from error
    except OSError as error:
        raise UserError(f"Prompt file {path} cannot be read: {error.strerror or error}.") from error
    if path.suffix.lower() != ".jsonl":
        return lines
    return [_prompt_of(line, path, number) for number, line in enumerate(lines, 1) if line.strip()]


def _prompt_of(line: str, path: Path, number: int) -> str:
    try:
        prompt = json.loads(line)["prompt"]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f'{path}, line {number}: each line must be a JSON object with a "prompt".') from error
    if not isinstance(prompt, str):
        raise UserError(f'{path}, line {number}: "prompt" must be a text, not {type(prompt).__name__}.')
    return prompt
