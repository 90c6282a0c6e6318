"""Break the package one line at a time, and count what the tests notice.

    python benchmarks/mutants.py --count 12 --seed 0 --json mutants.json          # so many of every room
    python benchmarks/mutants.py --room training --room objectives --count 40

A mutant is a copy of the package with one change: a comparison turned round, an operator exchanged, a number off by
one, a condition negated, a keyword argument or a statement left out. It is dead when a test of its room (the folder of
`tests/` of the same name, and those named in ROOMS) that runs the changed statement fails or never ends. What survives
is printed as a difference, to be judged by eye: some changes change nothing. Those are moved, with a reason, from
`survivors` to `equivalent` in the file of `--json`, and are known the next time.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import hashlib
import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mutant_tests import ROOT, copy_of_package, lines_of_tests, load_libraries, run_tests

PACKAGE = ROOT / "ddecli"
ROOMS = {
    "objectives": ["objectives", "training/test_loop.py", "training/test_wiring.py"],
    "diffusion": ["diffusion", "objectives", "training/test_error_units.py"],
    "training": ["training", "cli/test_train.py", "cli/test_bad_disk.py"],
    "models": ["models", "end_to_end", "cli/test_bad_models.py", "cli/test_schedulers.py"],
    "data": ["data", "cli/test_prepare.py", "cli/test_prepare_sources.py", "cli/test_bad_data.py"],
    "sampling": ["sampling", "cli/test_sample.py"],
    "scoring": ["scoring", "cli/test_score.py", "cli/test_inception.py"],
    "collect": ["collect", "data/test_votes_source.py"],
    "core": [
        "core",
        "cli",
        "models/test_digests.py",
        "stats/test_compare.py",
        "sampling/test_prompts.py",
    ],
    "stats": ["stats", "tables", "cli/test_table.py"],
    "tables": ["tables", "cli/test_table.py"],
    "figures": ["figures", "cli/test_figure.py"],
    "tuning": ["tuning", "cli/test_choose_command.py"],
    "document": ["reproduction/test_report.py", "cli/test_report_command.py"],
    "reproduction": ["reproduction", "cli/test_report_command.py"],
    "cli": ["cli"],
    "tinyworld": ["tinyworld", "cli/test_world.py", "cli/test_prepare.py", "cli/test_score.py"],
}
"""The tests that somebody who changes a room would run."""
LEFT_OUT = ("training/test_processes.py", "collect/test_browser.py")
"""Tests that start processes of their own, whose lines nobody sees here."""
LOOKED_AT = ("figures/", "document/", "reproduction/article/", "tables/render.py")
"""Files that draw and word: that they look and read well is judged by eye."""

COMPARISONS = {
    ast.Lt: "<=", ast.LtE: "<", ast.Gt: ">=", ast.GtE: ">", ast.Eq: "!=", ast.NotEq: "==",
    ast.Is: "is not", ast.IsNot: "is", ast.In: "not in", ast.NotIn: "in",
}  # fmt: skip
OPERATORS = {
    ast.Add: "-",
    ast.Sub: "+",
    ast.Mult: "/",
    ast.Div: "*",
    ast.FloorDiv: "/",
    ast.Mod: "*",
    ast.Pow: "*",
}


@dataclass(frozen=True)
class Mutant:
    """One change: characters `start` to `end` of a file are replaced by `text`."""

    file: Path
    start: int
    end: int
    text: str

    def source(self) -> str:
        """The changed file."""
        whole = self.file.read_text(encoding="utf-8")
        return whole[: self.start] + self.text + whole[self.end :]

    def line(self) -> int:
        """The line it begins on, from 0."""
        return self.file.read_text(encoding="utf-8")[: self.start].count("\n")

    def statement(self) -> tuple[set[str], bool]:
        """The lines of the statement it is in, without those nested in it, and whether an import runs it."""
        source = self.file.read_text(encoding="utf-8")
        here, found, inside = self.line() + 1, (0, 0), False
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.stmt) and node.lineno <= here <= (node.end_lineno or 0):
                body = getattr(node, "body", None)
                end = body[0].lineno - 1 if isinstance(body, list) and body else node.end_lineno or 0
                if here <= max(end, node.lineno):
                    found = (node.lineno, max(end, node.lineno))
                inside |= isinstance(node, ast.FunctionDef) and here > end
        lines = source.splitlines()[found[0] - 1 : found[1]]
        return {line.strip() for line in lines if any(map(str.isalnum, line))}, not inside

    def difference(self) -> str:
        """What is changed, for people."""
        name = str(self.file.relative_to(ROOT))
        lines = (text.splitlines() for text in (self.file.read_text(encoding="utf-8"), self.source()))
        return "\n".join(difflib.unified_diff(*lines, name, name, lineterm="", n=1))

    def name(self) -> str:
        """The same in one line, wherever in the file it stands."""
        changed = self.difference().splitlines()[3:]
        old, new = (" ".join(line[1:].strip() for line in changed if line[0] == sign) for sign in "-+")
        return f"{self.file.relative_to(PACKAGE)}: {old} -> {new}"


class Mutations(ast.NodeVisitor):
    """Every mutant of a file. Texts, annotations, messages of errors and what is printed are left alone."""

    def __init__(self, file: Path) -> None:
        self.file, self.source = file, file.read_text(encoding="utf-8")
        lines = self.source.splitlines(keepends=True)
        self.starts = [0]
        for line in lines:
            self.starts.append(self.starts[-1] + len(line))
        self.lines = lines
        self.found: list[Mutant] = []
        self.visit(ast.parse(self.source))

    def place(self, line: int, column: int) -> int:
        """Offset in characters; ast counts columns in bytes."""
        return self.starts[line - 1] + len(self.lines[line - 1].encode()[:column].decode())

    def span(self, node: ast.AST) -> tuple[int, int]:
        return (
            self.place(node.lineno, node.col_offset),  # type: ignore[attr-defined]
            self.place(node.end_lineno, node.end_col_offset),  # type: ignore[attr-defined]
        )

    def add(self, node: ast.AST, text: str) -> None:
        self.found.append(Mutant(self.file, *self.span(node), text))

    def between(self, left: ast.AST, right: ast.AST, text: str) -> None:
        """Replace the operator between two operands, if nothing else stands there."""
        start, end = self.span(left)[1], self.span(right)[0]
        if not set(self.source[start:end]) & set("()#\n"):
            self.found.append(Mutant(self.file, start, end, f" {text} "))

    def visit_Compare(self, node: ast.Compare) -> None:
        if len(node.ops) == 1 and type(node.ops[0]) in COMPARISONS:
            self.between(node.left, node.comparators[0], COMPARISONS[type(node.ops[0])])
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        texts = (ast.Constant, ast.JoinedStr)
        is_text = any(isinstance(side, texts) and not _is_number(side) for side in (node.left, node.right))
        if type(node.op) in OPERATORS and not is_text:
            self.between(node.left, node.right, OPERATORS[type(node.op)])
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        self.between(*node.values[:2], "or" if isinstance(node.op, ast.And) else "and")
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, (ast.Not, ast.USub)):
            self.add(node, ast.get_source_segment(self.source, node.operand) or "")
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, bool):
            self.add(node, str(not node.value))
        elif _is_number(node):
            self.add(node, f"({node.value!r} + 1)")

    def visit_If(self, node: ast.If) -> None:
        if ast.unparse(node.test) != "TYPE_CHECKING":
            self.add(node.test, f"not ({ast.get_source_segment(self.source, node.test)})")
            self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self.add(node.test, f"not ({ast.get_source_segment(self.source, node.test)})")
        self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Call) and "print" not in ast.unparse(node.value.func):
            self.add(node, "pass")
            self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self.add(node, "pass")
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        name = ast.unparse(node.func)
        if name.endswith(("Error", "BadRow", "echo", "Option", "Argument", "Field", "print", "dataclass")):
            return
        if name == "zip":  # whose `strict` is an assertion
            node = ast.Call(node.func, node.args, [])
        for number, keyword in enumerate(node.keywords):
            if keyword.arg is not None and number + 1 < len(node.keywords):  # with the comma behind it
                start, end = self.span(keyword)[0], self.span(node.keywords[number + 1])[0]
                if "#" not in self.source[start:end]:
                    self.found.append(Mutant(self.file, start, end, ""))
        self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        for default in [*node.args.defaults, *node.args.kw_defaults]:
            if default is not None:
                self.visit(default)
        for statement in node.body:
            self.visit(statement)

    def visit_Raise(self, node: ast.Raise) -> None:
        """A message may be worded otherwise."""


def _is_number(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) in (int, float)


def every(room: str) -> Iterator[Mutant]:
    """All mutants of a room."""
    for file in sorted((PACKAGE / room).rglob("*.py")):
        if not str(file.relative_to(PACKAGE)).startswith(LOOKED_AT):
            yield from Mutations(file).found


def chosen(room: str, count: int, seed: int) -> list[Mutant]:
    """Mutants of a room, drawn by lines: each line of code as likely as another, and one mutant of it.

    Drawn by a hash of the line's text, so that the sample stays nearly the same when other lines change.
    """
    by_line: dict[tuple[str, str, int], list[Mutant]] = {}
    for mutant in every(room):
        number, lines = mutant.line(), mutant.file.read_text(encoding="utf-8").splitlines()
        same = sum(line.strip() == lines[number].strip() for line in lines[:number])
        name = str(mutant.file.relative_to(PACKAGE))
        by_line.setdefault((name, lines[number].strip(), same), []).append(mutant)

    def rank(text: object) -> bytes:
        return hashlib.sha256(f"{seed} {text}".encode()).digest()

    drawn = sorted(by_line, key=rank)[:count]
    return [min(by_line[line], key=lambda mutant: rank((line, mutant.text))) for line in drawn]


def files_of(room: str) -> list[Path]:
    """The test files of a room."""
    files = []
    for name in ROOMS[room]:
        place = ROOT / "tests" / name
        files += sorted(place.glob("test_*.py")) if place.is_dir() else [place]
    return [file for file in files if str(file.relative_to(ROOT / "tests")) not in LEFT_OUT and file.exists()]


def tests_of(mutant: Mutant, known: dict[str, Any]) -> tuple[list[str], float]:
    """The tests that run the changed statement, the quickest first, and the seconds they take."""
    lines, at_import = mutant.statement()
    name = str(mutant.file.relative_to(PACKAGE))
    found = []
    for test, told in known.items():
        ran = set(told["lines"].get(name, ()))
        looks = ran or told["seconds"] < 1  # what an import made any quick test may look at
        if ran & lines or (at_import and looks):
            found.append((f"test_{mutant.file.stem}.py" not in test, told["seconds"], test))
    found.sort(key=lambda entry: (entry[1] > 2, *entry))
    return [test for *_, test in found], sum(seconds for _, seconds, _ in found)


def survives(mutant: Mutant, known: dict[str, Any], most_s: float) -> bool:
    """Whether the tests that run a mutant pass all the same."""
    tests, seconds = tests_of(mutant, known)
    if not tests:
        return True
    with copy_of_package() as folder:
        (folder / mutant.file.relative_to(ROOT)).write_text(mutant.source(), encoding="utf-8")
        return run_tests(folder, tests, min(30 + 4 * seconds, most_s)) == 0


def main() -> None:
    """Break, test, count."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--room", action="append", choices=list(ROOMS), help="all if not given")
    parser.add_argument("--count", type=int, default=10, help="mutants of each room")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=float, default=600, help="seconds after which tests never end")
    parser.add_argument("--lines", type=Path, help="keep here what each test runs, for the next time")
    parser.add_argument("--again", action="store_true", help="only the survivors that --json names")
    parser.add_argument(
        "--json",
        type=Path,
        help="write counts and survivors here; survivors that it calls equivalent stay so",
    )
    given = parser.parse_args()
    load_libraries()
    with tempfile.TemporaryDirectory() as scratch:
        kept = given.lines or Path(scratch)
        kept.mkdir(parents=True, exist_ok=True)
        result = json.loads(given.json.read_text()) if given.json and given.json.exists() else {}
        for room in given.room or ROOMS:
            known: dict[str, Any] = {}
            for file in files_of(room):
                known |= lines_of_tests(file, kept, given.limit)
            before = result.get(room, {})
            if given.again:
                mutants = [mutant for mutant in every(room) if mutant.name() in before["survivors"]]
            else:
                mutants = chosen(room, given.count, given.seed)
            survivors = []
            for number, mutant in enumerate(mutants, 1):
                if survives(mutant, known, given.limit):
                    survivors.append(mutant.name())
                    print(mutant.difference(), flush=True)
                print(f"{room}: {number - len(survivors)} of {number} dead", flush=True)
            command = f"python benchmarks/mutants.py --room {room} --count {given.count} --seed {given.seed}"
            told = {"command": command, "commit": _commit(), "date": time.strftime("%Y-%m-%d")}
            told = before | {"again": _commit()} if given.again else told | {"mutants": len(mutants)}
            judged = before.get("equivalent", {})
            equivalent = {name: reason for name, reason in judged.items() if given.again or name in survivors}
            survivors = [name for name in survivors if name not in judged]
            dead = told["mutants"] - len(equivalent) - len(survivors)
            result[room] = told | {"dead": dead, "equivalent": equivalent, "survivors": survivors}
            if given.json:
                given.json.write_text(
                    json.dumps(result, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
                )


def _commit() -> str:
    command = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    main()
