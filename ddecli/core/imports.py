"""Import large libraries: without a look through what they define for rubbish, and without what is not used of them."""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Iterator

from ddecli.core.deferred import deferring


@contextlib.contextmanager
def importing(defer: bool = False) -> Iterator[None]:
    """Import within the block; the garbage collector waits until its end, and leaves out for good what is there then.

    Importing torch, transformers and diffusers makes half a million objects that stay. Python looks through all of
    them again and again as they become more, for a fifth of the time that starting takes.

    Args:
        defer: what only compiling and sharing a model between processes take waits until it is used, see `deferring`.
    """
    before = len(sys.modules)
    waits = gc.isenabled()
    gc.collect()  # what an earlier command of this process left behind is not to stay
    gc.disable()
    try:
        with deferring() if defer else contextlib.nullcontext():
            yield
    finally:
        if len(sys.modules) > before:
            gc.freeze()
        if waits:
            gc.enable()
