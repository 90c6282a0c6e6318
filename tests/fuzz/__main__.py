"""Damage files that the commands read, one a case, and see that each command says so or is right all the same.

    python -m tests.fuzz --cases 2000 --seed 0        # some ten minutes on one core
    python -m tests.fuzz --seed 0 --first 731 --cases 1 # a finding again

Every case takes real files, made once, damages one of them (`mutations.py`), and runs a command that reads it
(`cases.py`) in a process whose time and memory are limited. It ends well with exit code 0 and the numbers of the
undamaged file, or with exit code 2 and one sentence. A traceback, a hang, a crash and a number that differs without a
word are findings, printed with all that is needed to have them again.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.fuzz.worker import Outcome, work

START_S = 600
"""Seconds for the artefacts to be made."""


class Process:
    """A worker, started again when it hangs or dies."""

    def __init__(self, root: Path, options: Any) -> None:
        self.given, self.limit = (str(root), options.seed, options.only, options.full), options.limit
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=work, args=(*self.given, theirs), daemon=True)
        self.process.start()
        theirs.close()
        if not self.pipe.poll(START_S):
            raise SystemExit("The artefacts took too long.")
        self.pipe.recv()

    def run(self, number: int) -> Outcome:
        """Run a case, for a limited time."""
        case, file = "?", "?"
        try:
            self.pipe.send(number)
            case, file = self.pipe.recv()
            if self.pipe.poll(self.limit):
                return self.pipe.recv()
            how, fault = "hang", f"no end after {self.limit:g} s"
        except (EOFError, ConnectionError):
            self.process.join(5)
            how, fault = "crash", f"the process ended with {self.process.exitcode}"
        self.process.kill()
        self.process.join()
        self._start()
        return Outcome(number, case, file, "?", how, fault)


def main() -> None:
    """Run cases and print what was found; exit code 1 if anything was."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.split("\n")[0])
    parser.add_argument("--cases", type=int, default=2000, help="how many")
    parser.add_argument("--seed", type=int, default=0, help="of all draws")
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--only", default="", help="cases with this in their name")
    parser.add_argument("--limit", type=float, default=60.0, help="seconds a case may take")
    parser.add_argument("--full", action="store_true", help="print whole tracebacks")
    parser.add_argument("--keep", type=Path, help="folder for the artefacts, to be used again")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ddecli-fuzz-") as scratch:
        root = (options.keep or Path(scratch)).resolve()
        (root / "tmp").mkdir(parents=True, exist_ok=True)
        sys.exit(_run(Process(root, options), options))


def _run(process: Process, options: Any) -> int:
    began = time.monotonic()
    ends: Counter[str] = Counter()
    slowest: list[tuple[float, int, str]] = []
    faults = 0
    for number in range(options.first, options.first + options.cases):
        outcome = process.run(number)
        ends[outcome.how] += 1
        slowest = sorted([*slowest, (outcome.seconds, number, outcome.case)], reverse=True)[:5]
        if outcome.fault:
            faults += 1
            print(
                f"\n[{options.seed} {number}] {outcome.case}: {outcome.file}: {outcome.done}: {outcome.how}"
            )
            print("  " + outcome.fault.replace("\n", "\n  "), flush=True)
        if (number + 1 - options.first) % 100 == 0:
            print(
                f"{number + 1 - options.first} cases, {faults} findings, {time.monotonic() - began:.0f} s",
                flush=True,
            )
    print(f"\n{options.cases} cases in {time.monotonic() - began:.0f} s: {dict(ends.most_common())}")
    print("slowest: " + ", ".join(f"{seconds:.1f} s {case} [{number}]" for seconds, number, case in slowest))
    print(f"{faults} findings")
    return int(faults > 0)


if __name__ == "__main__":
    main()
