"""A process that runs cases one after the other, in folders of their own, and says how each ended."""

from __future__ import annotations

import gc
import os
import random
import resource
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, pairwise
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

MEMORY = 6 * 2**30
"""Bytes that a case may take beside what is loaded already."""


@dataclass(frozen=True)
class Outcome:
    """How a case ended; `fault` is empty if it ended well."""

    number: int
    case: str
    file: str
    done: str
    how: str
    fault: str = ""
    seconds: float = 0.0


def work(root: str, seed: int, only: str, full: bool, pipe: Connection) -> None:
    """Run the cases whose numbers come through the pipe."""
    os.environ.update(
        HF_HOME=f"{root}/hub", HF_HUB_OFFLINE="1", TMPDIR=f"{root}/tmp", OMP_NUM_THREADS="1",
        TRANSFORMERS_VERBOSITY="critical", PYTHONWARNINGS="ignore",
    )  # fmt: skip
    os.environ.pop("DDECLI_DEBUG", None)
    import logging

    import torch

    logging.disable(logging.CRITICAL)
    torch.set_num_threads(1)
    stock = Path(root, "stock")
    if not stock.is_dir():
        made = Path(root, "case")  # where it will be used: some files name their place
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir()
        os.chdir(made)
        from tests.fuzz.artefacts import build

        build()
        os.chdir(root)
        made.rename(stock)
    from tests.fuzz.artefacts import load_all

    os.chdir(stock)
    load_all()
    os.chdir(root)
    runner = Runner(Path(root), seed, only, full)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, resource.RLIM_INFINITY))
    pipe.send("ready")
    while True:
        try:
            number = pipe.recv()
        except EOFError:  # all are done
            return
        case, file, _ = runner.choose(number)
        pipe.send((case.name, file))
        pipe.send(runner.run(number))


class Runner:
    """Chooses a case by its number, damages one file and judges what the command makes of it."""

    def __init__(self, root: Path, seed: int, only: str, full: bool) -> None:
        from tests.fuzz.cases import CASES

        self.root, self.stock, self.seed, self.full = root, root / "stock", seed, full
        self.cases = [case for case in CASES if only in case.name]
        self.whole: dict[str, Any] = {}
        self.files = {case.name: self._files(case.files) for case in self.cases}
        assert all(self.files.values()), [name for name, files in self.files.items() if not files]

    def _files(self, patterns: tuple[str, ...]) -> list[str]:
        globs = [f"{pattern}/*" if pattern.endswith("**") else pattern for pattern in patterns]
        found = {file for each in globs for file in self.stock.glob(each) if file.is_file()}
        return sorted(str(file.relative_to(self.stock)) for file in found)

    def choose(self, number: int) -> tuple[Any, str, random.Random]:
        """The case of a number, the file that is damaged, and the generator that decides how."""
        rng = random.Random(f"{self.seed} {number}")
        case = rng.choices(self.cases, [case.weight for case in self.cases])[0]
        return case, rng.choice(self.files[case.name]), rng

    def run(self, number: int) -> Outcome:
        """Run a case."""
        import time

        from tests.fuzz.mutations import damage

        case, file, rng = self.choose(number)
        if case.name not in self.whole:
            typed, result = self._typed(case, None, b"")
            if typed.code != 0 or isinstance(result, Exception):
                raise SystemExit(f"{case.name} fails undamaged: {typed.error}{typed.crash}{result!r}")
            self.whole[case.name] = result
        good = (self.stock / file).read_bytes()
        content, done = damage(file, good, rng)
        began = time.monotonic()
        typed, result = self._typed(case, file, content)
        seconds = time.monotonic() - began
        how, fault = self._judged(case, file, done, typed, result)
        return Outcome(number, case.name, file, done, how, fault, seconds)

    def _typed(self, case: Any, file: str | None, content: bytes) -> tuple[Any, Any]:
        """Type a command in a new folder that holds the artefacts, one of them damaged; what it came to."""
        from tests.fuzz.typed import typed

        folder = self.root / "case"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        copied = {*case.copied, *([Path(file).parts[0]] if file else [])}
        for path in self.stock.iterdir():
            if path.name not in copied:
                (folder / path.name).symlink_to(path)
            elif path.is_dir():
                shutil.copytree(path, folder / path.name)
            else:
                shutil.copyfile(path, folder / path.name)
        (folder / "out").mkdir()
        if file:
            (folder / file).write_bytes(content)
        os.chdir(folder)
        try:
            (folder / "out").rmdir()
            done = typed(*case.command)
            result: Any = None
            if done.code == 0:
                try:
                    result = case.result(done.out)
                except Exception as error:
                    result = error
        finally:
            os.chdir(self.root)
        shutil.rmtree(self.root / "hub" / "assets" / "ddecli", ignore_errors=True)
        gc.collect()
        return done, result

    def _judged(self, case: Any, file: str, done: str, typed: Any, result: Any) -> tuple[str, str]:
        from ddecli.core.errors import UserError
        from tests.fuzz.cases import NO_NUMBERS, is_finite
        from tests.fuzz.mutations import NO_DIGEST

        if typed.crash:
            return "traceback", typed.crash if self.full else _short(typed.crash)
        said = [line for line in typed.error.strip().splitlines() if line]
        last = said[-1] if said else ""
        if typed.code == 2:
            is_sentence = last.startswith("Error: ") and len(last) < 2000 and "Traceback" not in typed.error
            return "refused", "" if is_sentence else f"no sentence: {typed.error[-3000:]}"
        if typed.code != 0:
            return "ended otherwise", f"exit code {typed.code}: {typed.error[-3000:]}"
        if isinstance(result, UserError):  # whoever reads what was written
            return "refused by the next command", ""
        if isinstance(result, Exception):
            return "no result", repr(result)
        if not is_finite(result):
            return "not finite", f"{result}"[:2000]
        if result == self.whole[case.name]:
            return "the same", ""
        # Files of earlier versions hold no digest: what they say is taken.
        if not case.own or NO_DIGEST in done or Path(file).name in NO_NUMBERS:
            return "other numbers of another file", ""
        warned = any(word in typed.error for word in ("damaged", "skipped", "left out"))
        if warned:
            return "other numbers, with a warning", ""
        return "other numbers", "\n".join(islice(_differences(result, self.whole[case.name]), 5))


def _short(crash: str) -> str:
    """The last lines of our own in a traceback, and the error."""
    lines = crash.rstrip().split("\n")
    own = [
        f"{line.strip()} {then.strip()}"
        for line, then in pairwise(lines)
        if "/ddecli/" in line and "/cli/app.py" not in line
    ]
    return "\n".join([*own[-3:], lines[-1][:500]])


def _differences(found: Any, whole: Any, place: str = "result") -> Iterator[str]:
    """Where two results differ."""
    if isinstance(found, dict) and isinstance(whole, dict) and found.keys() == whole.keys():
        for key in found:
            yield from _differences(found[key], whole[key], f"{place}.{key}")
    elif isinstance(found, list) and isinstance(whole, list) and len(found) == len(whole):
        for number, (here, there) in enumerate(zip(found, whole, strict=True)):
            yield from _differences(here, there, f"{place}.{number}")
    elif found != whole:
        yield f"{place} is {str(found)[:300]} instead of {str(whole)[:300]}"
