"""Imports without the garbage collector."""

from __future__ import annotations

import subprocess
import sys


def test_the_collector_waits_and_goes_on_without_what_was_imported() -> None:
    code = """
import gc
from ddecli.core.imports import importing
with importing():
    import torch
    during = gc.isenabled()
kept = gc.get_freeze_count()
with importing():
    import torch
    again = gc.isenabled()
print(during, gc.isenabled(), kept > 100_000, gc.get_freeze_count() <= kept, again)
try:
    with importing():
        import ddecli.nothing
except ImportError:
    print(gc.isenabled())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True", "True", "True", "False", "True"]
