"""The one place that silences diffusers and transformers where we say ourselves what they would."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator
from typing import Any

from transformers.utils import logging as transformers_logging


def hide_progress_bars() -> None:
    """Show no bars of the libraries from now on, those of transformers' downloads among them."""
    for library in _libraries():
        library.disable_progress_bar()


@contextlib.contextmanager
def quiet_libraries(shown: int = logging.ERROR) -> Iterator[None]:
    """Show what the libraries log from this level on, for as long as the block lasts; never more than before it."""
    levels = [(library, library.get_verbosity()) for library in _libraries()]
    kept = [
        (library, before) for library, before in levels if before < shown
    ]  # setting a level looks at all loggers
    try:
        for library, _ in kept:
            library.set_verbosity(shown)
        yield
    finally:
        for library, before in kept:
            library.set_verbosity(before)


def _libraries() -> list[Any]:
    """Their settings of what is shown. Nothing imports diffusers for this: scoring has no need of it."""
    diffusers_logging = sys.modules.get("diffusers.utils.logging")
    return [transformers_logging, *([diffusers_logging] if diffusers_logging else [])]
