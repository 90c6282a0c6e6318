"""A command as it is typed, in this process: what it printed, how it ended, and a traceback if it had one."""

from __future__ import annotations

import contextlib
import io
import sys
import traceback
import warnings
from dataclasses import dataclass

from ddecli.cli.app import main


@dataclass(frozen=True)
class Typed:
    """`crash` is the traceback of an error that no command may end in; empty if there was none."""

    code: int
    out: str
    error: str
    crash: str = ""


def typed(*arguments: object) -> Typed:
    """Run `ddecli` with arguments."""
    out, error = io.StringIO(), io.StringIO()
    code, crash, before = 0, "", sys.argv
    sys.argv = ["ddecli", *map(str, arguments)]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            main()
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        except BaseException:
            code, crash = 1, traceback.format_exc()
        finally:
            sys.argv = before
    return Typed(code, out.getvalue(), error.getvalue(), crash)
