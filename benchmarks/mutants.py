"""Break the package one line at a time, and count what the tests notice.

    python benchmarks/mutants.py --count 12 --seed 0 --json mutants.json          # so many of every room
    python benchmarks/mutants.py --room training --room objectives --count 40

A mutant is a copy of the package with one change: a comparison turned round, an operator exchanged, a number off by
one, a condition negated, a keyword argument or a statement left out. It is dead when the tests of its room (the folder
of `tests/` of the same name, and those named in ROOMS) fail or never end. What survives is printed as a difference, to
be judged by eye: some changes change nothing.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ROOMS = {
    "core": ["core", "cli"],
    "diffusion": ["diffusion", "objectives"],
    "objectives": ["objectives", "training/test_loop.py"],
    "models": ["models", "end_to_end"],
    "data": ["data", "cli/test_prepare.py", "cli/test_prepare_sources.py", "cli/test_bad_data.py"],
    "training": ["training", "cli/test_train.py", "cli/test_bad_disk.py"],
    "sampling": ["sampling", "cli/test_sample.py"],
    "scoring": ["scoring", "cli/test_score.py", "cli/test_inception.py"],
    "reporting": ["reporting", "cli/test_table.py", "cli/test_figure.py", "cli/test_report_command.py"],
    "cli": ["cli"],
    "tinyworld": ["tinyworld", "cli"],
}
"""The tests that somebody who changes a room would run."""

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

    def difference(self) -> str:
        """What is changed, for people."""
        name = str(self.file.relative_to(ROOT))
        lines = (text.splitlines() for text in (self.file.read_text(encoding="utf-8"), self.source()))
        return "\n".join(difflib.unified_diff(*lines, name, name, lineterm="", n=1))


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
        if name.endswith(("Error", "BadRow", "echo", "Option", "Argument", "Field", "print")):
            return
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


def chosen(room: str, count: int, seed: int) -> Iterator[Mutant]:
    """Mutants of a room, drawn by lines: each line of code as likely as another, and one mutant of it."""
    by_line: dict[tuple[Path, int], list[Mutant]] = {}
    for file in sorted((ROOT / "ddecli" / room).rglob("*.py")):
        for mutant in Mutations(file).found:
            line = mutant.file.read_text(encoding="utf-8")[: mutant.start].count("\n")
            by_line.setdefault((file, line), []).append(mutant)
    draw = random.Random(f"{room} {seed}")
    for line in draw.sample(sorted(by_line), min(count, len(by_line))):
        yield draw.choice(by_line[line])


def survives(mutant: Mutant, room: str, limit_s: float) -> bool:
    """Whether the tests of its room pass with a mutant in the package's place."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        copy = Path(folder)
        for name in ("ddecli", "tests", "workflow", "benchmarks", "docs", "paper"):
            (copy / name).symlink_to(ROOT / name)
        for file in ROOT.iterdir():
            if file.is_file() and not file.name.startswith("."):
                (copy / file.name).symlink_to(file)
        (copy / "ddecli").unlink()
        shutil.copytree(
            ROOT / "ddecli", copy / "ddecli", ignore=shutil.ignore_patterns("__pycache__", "weights")
        )
        (copy / "ddecli/tinyworld/weights").symlink_to(ROOT / "ddecli/tinyworld/weights")
        (copy / mutant.file.relative_to(ROOT)).write_text(mutant.source(), encoding="utf-8")
        environment = os.environ | {
            "PYTHONPATH": folder,
            "OMP_NUM_THREADS": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        own = f"{room}/test_{mutant.file.stem}.py"  # first, as it is the likeliest to notice
        tests = [f"tests/{name}" for name in (own, *ROOMS[room]) if (ROOT / "tests" / name).exists()]
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-x",
            "-q",
            "-p",
            "no:cacheprovider",
            f"--rootdir={folder}",
        ]
        command += [f"--basetemp={folder}/scratch", *tests]
        try:
            return (
                subprocess.run(
                    command, cwd=folder, env=environment, timeout=limit_s, capture_output=True
                ).returncode
                == 0
            )
        except subprocess.TimeoutExpired:
            return False


def main() -> None:
    """Break, test, count."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--room", action="append", choices=sorted(ROOMS), help="all if not given")
    parser.add_argument("--count", type=int, default=10, help="mutants of each room")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--limit", type=float, default=400, help="seconds after which a mutant's tests never end"
    )
    parser.add_argument("--json", type=Path, help="write the count of each room and the survivors here")
    given = parser.parse_args()
    result: dict[str, dict[str, object]] = {}
    for room in given.room or sorted(ROOMS):
        mutants = list(chosen(room, given.count, given.seed))
        survivors = []
        for number, mutant in enumerate(mutants, 1):
            if survives(mutant, room, given.limit):
                survivors.append(mutant.difference())
                print(survivors[-1], flush=True)
            print(f"{room}: {number - len(survivors)} of {number} dead", flush=True)
        result[room] = {
            "mutants": len(mutants),
            "dead": len(mutants) - len(survivors),
            "survivors": survivors,
        }
        if given.json:
            given.json.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
