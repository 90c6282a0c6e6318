"""A memory that holds a few pairs: a stand-in for the error that torch ends a pass with on a GPU that is too small.

As a script it is `ddecli` on such a machine: `python small_memory.py PAIRS [FROM_STEP FEWER] -- WORDS...`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import torch

from ddecli.training import errors
from ddecli.training.trainer import Trainer


def small_memory(set_to: Callable[[Any, str, Any], None], pairs: int) -> list[int]:
    """Let a pass of more pairs run out of memory. Returns the sizes of all passes to come, as they come.

    Args:
        set_to: sets an attribute of an object, as `monkeypatch.setattr` does.
    """
    made, seen = errors.residuals_by_row, list[int]()

    def residuals_by_row(model: Any, batch: Any, autocast: Any) -> Any:
        seen.append(size := len(batch.latents) // 2)
        if size > pairs:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return made(model, batch, autocast)

    set_to(errors, "residuals_by_row", residuals_by_row)
    return seen


def less_from(set_to: Callable[[Any, str, Any], None], step: int, pairs: int) -> None:
    """Let something else take memory before a step."""
    made = Trainer.step

    def make(self: Trainer, now: int, *given: Any) -> Any:
        if now == step:
            small_memory(set_to, pairs)
        return made(self, now, *given)

    set_to(Trainer, "step", make)


if __name__ == "__main__":
    from ddecli.cli.app import main

    cut = sys.argv.index("--")
    first, *later = map(int, sys.argv[1:cut])
    small_memory(setattr, first)
    if later:
        less_from(setattr, *later)
    sys.argv = ["ddecli", *sys.argv[cut + 1 :]]
    main()
