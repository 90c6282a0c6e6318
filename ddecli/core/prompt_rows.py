"""What is known of the prompts of a sample: prompts.json beside its images, and the groups they fall into.

Only a sample of a list that says more than prompts has one. It holds the list's rows as they stand there, repeated
prompts too, and those that were not sampled: a benchmark counts by them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from ddecli.core.prompts import PromptRow
from ddecli.core.protocol import SAMPLE_AGAIN, clean_prompt, prompt_id
from ddecli.core.sealed import read_sealed, write_sealed

PROMPT_ROWS = "prompts.json"
Groups = dict[str, dict[str, list[str]]]
"""Ids of prompts by the name of a division and by group: `{"style": {"photo": ["0123456789ab", ...]}}`."""


class _Row(BaseModel):
    prompt: str
    about: dict[str, Any]


class _Rows(BaseModel):
    rows: list[_Row]


def write_prompt_rows(folder: Path, rows: Sequence[PromptRow]) -> None:
    """Write prompts.json, if anything is known of a prompt."""
    if any(row.about for row in rows):
        listed = [{"prompt": row.prompt, "about": row.about} for row in rows]
        write_sealed(folder / PROMPT_ROWS, {"rows": listed})


def load_prompt_rows(folder: Path) -> list[PromptRow]:
    """The rows of prompts.json in their order; none where there is no such file.

    Raises:
        UserError: it is damaged, or was changed.
    """
    if not (folder / PROMPT_ROWS).exists():
        return []
    found = read_sealed(folder / PROMPT_ROWS, SAMPLE_AGAIN, _Rows)
    return [PromptRow(row["prompt"], row["about"]) for row in found["rows"]]


def row_id(row: PromptRow) -> str:
    """The id of a row's prompt, as images have it."""
    return prompt_id(clean_prompt(row.prompt))


def groups_of(rows: Iterable[PromptRow]) -> Groups:
    """Which prompts are of which kind, in the order of the list; one that is there twice can be of two kinds."""
    found: Groups = {}
    for row in rows:
        for name, value in row.groups.items():
            ids = found.setdefault(name, {}).setdefault(value, [])
            if (identifier := row_id(row)) not in ids[-1:]:
                ids.append(identifier)
    return {
        name: {value: list(dict.fromkeys(ids)) for value, ids in of_name.items()}
        for name, of_name in found.items()
    }
