"""How much memory a piece of work takes at its highest, in a process of its own."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import resource

def peak():
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

{before}
start = peak()
{work}
print(peak() - start)
"""


def peak_memory(before: str, work: str) -> int:
    """Bytes by which the highest resident memory of a process grows over some lines of Python.

    Args:
        before: what is imported and made first.
        work: what is measured; it may print, but last.
    """
    program = PROGRAM.format(before=before, work=work)
    # A shell stands between, since the number of a process begins with what the one had that started it.
    command = ["sh", "-c", '"$0" -c "$1"; exit $?', sys.executable, program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout.splitlines()[-1])
