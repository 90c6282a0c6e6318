"""Prompts as options name them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ddecli.core.errors import UserError

if TYPE_CHECKING:
    from ddecli.core.prompts import PromptRow
    from ddecli.models.presets import ModelSource
    from ddecli.sampling.prompts import PromptSet

WORLD = "world:"


def default_prompts(source: ModelSource) -> str:
    """The prompts of a model that is given none. Raises UserError if it needs some."""
    if source.is_tiny:
        return f"{WORLD}validation"
    raise UserError(
        f"{source.name} needs prompts: give --prompts FILE (one prompt per line) or --prompt TEXT."
    )


def named_prompts(prompts: str | None, prompt: list[str], first: int | None) -> PromptSet:
    """The prompts asked for: a split of the world, a published set, a file, or those of the command line."""
    from ddecli.sampling.prompts import make_prompt_set, prompt_set_of

    if prompts is None:
        return make_prompt_set("command line", prompt, first)
    if prompt:
        raise UserError("Give either --prompts or --prompt, not both.")
    if prompts.startswith(WORLD):
        from ddecli.tinyworld.prompts import world_prompts

        return make_prompt_set(prompts, world_prompts(prompts.removeprefix(WORLD)), first)
    return prompt_set_of(*named_rows(prompts), first)


def named_rows(prompts: str) -> tuple[str, list[PromptRow]]:
    """The list that NAME[=PATH] or FILE names: what it is called, and its rows."""
    from ddecli.sampling.benchmarks import REQUIRED
    from ddecli.sampling.prompt_sets import NAMES, rows_by_name, rows_by_path

    name, equals, path = prompts.partition("=")
    file = Path(prompts)
    if name in NAMES and not (name in REQUIRED and file.exists()):
        return name, rows_by_name(name, Path(path) if equals else None)
    if not file.exists():
        raise UserError(
            f"Prompt file {file} does not exist. Give a file, world:validation, world:test, or one of the sets that "
            "`ddecli sample --help` names."
        )
    return file.name, rows_by_path(file)
