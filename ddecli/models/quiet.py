"""diffusers and transformers without their own warnings, where ours say it."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging


@contextlib.contextmanager
def quiet_libraries(shown: int = logging.ERROR) -> Iterator[None]:
    """Show what the libraries log from this level on, for as long as the block lasts."""
    kept = [(library, library.get_verbosity()) for library in (diffusers_logging, transformers_logging)]
    try:
        for library, _ in kept:
            library.set_verbosity(shown)
        yield
    finally:
        for library, verbosity in kept:
            library.set_verbosity(verbosity)
