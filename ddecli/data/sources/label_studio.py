"""What Label Studio exports of votes on pairs: its JSON, JSON-MIN, CSV and TSV.

In JSON a task has its `data` (prompt and two pictures) and its `annotations`, a vote each; in the others every vote has
a row, with the task's `id`. A vote is what was selected in a Pairwise tag, or a choice by name (`image1`, `right`,
`tie`, `both bad`), whose column has to be named where votes are rows. All votes on one task are added up; one for
neither counts half for both. Pictures are found beside the export by the end of their address: of
`/data/local-files/?d=for-ls/pictures/a.png` that is `for-ls/pictures/a.png`, `pictures/a.png` or `a.png`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from ddecli.core.errors import BadRow, UserError
from ddecli.core.files import sha256_file
from ddecli.core.inside import inside
from ddecli.core.parsing import parse_json
from ddecli.core.text_tables import read_rows
from ddecli.data.columns import Columns, resolve_columns
from ddecli.data.labels import UNREADABLE, Names, side_of
from ddecli.data.mapping import listed
from ddecli.data.pairs import Pair, Rejects
from ddecli.data.sources.base import PART_ROWS, Part, Source, Wanted

SUFFIXES = (".json", ".csv", ".tsv")
OF_A_ROW = {"id", "annotator", "annotation_id", "lead_time"}
"""Columns that Label Studio gives every row but those of its JSON."""
FIRST, SECOND = "votes for the first picture", "votes for the second picture"
SIDES = {"left": 0, "right": 1}


@dataclass(frozen=True)
class Annotation:
    """A vote: what Pairwise tags and choices say in it.

    Attributes:
        name: for messages.
    """

    name: str
    selected: list[Any]
    choices: list[Any]


@dataclass(frozen=True)
class Task:
    """A pair, with what was imported of it and the votes on it."""

    data: dict[str, Any]
    annotations: list[Annotation] = field(default_factory=list)


Named = tuple[str, Task | BadRow]
"""A task's place in the file, and the task, or why it is none."""


def label_studio_source(file: Path, wanted: Wanted) -> Source | None:
    """The pairs that people voted on in Label Studio; None where a file is none of its exports.

    Raises:
        UserError: the file cannot be read, pictures without pairs are wanted, or a task has no prompt or pictures
            under a name that is known.
    """
    if file.suffix.lower() not in SUFFIXES:
        return None
    first = next((row for _, row, _ in read_rows(file) if not isinstance(row, BadRow)), {})
    if _is_task(first):
        tasks = list(_of_json(file))
    elif first.keys() >= OF_A_ROW:
        tasks = list(_of_rows(file, wanted.mapping.get("winner")))
        votes = [each for _, task in tasks if isinstance(task, Task) for each in task.annotations]
        if wanted.labelled and votes and not any(each.selected or each.choices for each in votes):
            raise UserError(
                f"{file} has no selections of a Pairwise tag: name the column of choices with --columns winner=..., or "
                "export JSON."
            )
    else:
        return None
    if wanted.winners_only:
        raise UserError(f"{file} holds votes on pairs: leave --winners-only out.")
    columns = _columns(tasks, file, wanted)
    digest = sha256_file(file)
    parts = []
    for start in range(0, len(tasks), PART_ROWS):
        some = tasks[start : start + PART_ROWS]
        read = partial(_pairs, file.parent, some, columns)
        parts.append(Part(f"{file.name}, tasks from {start} on", read, len(some), None, digest))
    return Source(str(file.parent.resolve()), f"{file.name}: Label Studio", parts)


def _is_task(row: dict[str, Any]) -> bool:
    return isinstance(row.get("data"), dict) and isinstance(row.get("annotations"), list)


def _columns(tasks: Sequence[Named], file: Path, wanted: Wanted) -> Columns:
    """Where prompt and pictures are; votes have columns of their own."""
    keys = dict.fromkeys(key for _, task in tasks if isinstance(task, Task) for key in task.data)
    found = resolve_columns(list(keys), wanted.mapping, str(file), labelled=False).actual
    needed = ("prompt", "image_0", "image_1")
    if any(name not in found for name in needed):
        raise UserError(
            f"{file} has tasks with {listed(list(keys))}; needed are a prompt and two pictures. Name them with "
            "--columns prompt=... image_0=... image_1=..."
        )
    votes = {"votes_0": FIRST, "votes_1": SECOND} if wanted.labelled else {}
    return Columns({name: found[name] for name in needed} | votes, wanted.labelled)


def _of_json(file: Path) -> Iterator[Named]:
    for number, row, _ in read_rows(file):
        name = f"{file.name}:{number}"
        if isinstance(row, BadRow):
            yield name, row
        elif not _is_task(row):
            yield name, BadRow("malformed row", "no task of Label Studio")
        else:
            found = [each for each in row["annotations"] if isinstance(each, dict)]
            yield (
                name,
                Task(row["data"], [_annotation(each) for each in found if not each.get("was_cancelled")]),
            )


def _annotation(annotation: dict[str, Any]) -> Annotation:
    results = [
        each
        for each in annotation.get("result") or []
        if isinstance(each, dict) and isinstance(each.get("value"), dict)
    ]
    selected = [each["value"].get("selected") for each in results if each.get("type") == "pairwise"]
    choices = [each["value"].get("choices") for each in results if each.get("type") == "choices"]
    one = [each[0] for each in choices if isinstance(each, list) and len(each) == 1]
    return Annotation(f"annotation {annotation.get('id', '')}".strip(), selected, one)


def _of_rows(file: Path, winner: str | None) -> Iterator[Named]:
    """The same of rows, in which nothing tells choices from data.

    Args:
        winner: the column of choices. Without one a vote with nothing selected is a tie, if any has something.
    """
    tasks: dict[str, Task] = {}
    places: dict[str, str] = {}
    for number, row, _ in read_rows(file):
        name = f"{file.name}:{number}"
        if isinstance(row, BadRow):
            yield name, row
            continue
        key = str(row.get("id"))
        places.setdefault(key, name)
        task = tasks.setdefault(key, Task(row))
        if row.get("annotation_id") not in (None, ""):
            selected = [each["selected"] for cell in row.values() for each in _selections(cell)]
            choices = [row[winner]] if winner and isinstance(row.get(winner), str) and row[winner] else []
            task.annotations.append(Annotation(f"annotation {row['annotation_id']}", selected, choices))
    votes = [each for task in tasks.values() for each in task.annotations]
    if not winner and any(each.selected for each in votes):
        for each in votes:
            each.choices.extend([] if each.selected else ["tie"])
    for key, task in tasks.items():
        yield places[key], task


def _selections(cell: Any) -> list[dict[str, Any]]:
    """What a Pairwise tag leaves in a cell: `[{"selected": "left"}]`, in CSV as text."""
    if isinstance(cell, str) and cell.startswith("[") and '"selected"' in cell:
        try:
            cell = parse_json(cell)
        except ValueError:
            return []
    return (
        [each for each in cell if isinstance(each, dict) and "selected" in each]
        if isinstance(cell, list)
        else []
    )


def _pairs(folder: Path, tasks: Sequence[Named], columns: Columns, rejects: Rejects) -> Iterator[Pair]:
    first, second = (columns.actual[name] for name in ("image_0", "image_1"))
    for row_id, task in tasks:
        try:
            if isinstance(task, BadRow):
                raise task
            row = task.data | {name: _beside(folder, task.data.get(name)) for name in (first, second)}
            if columns.labelled:
                votes = _votes(task, ((first,), (second,)), row_id, rejects)
                row |= dict(zip((FIRST, SECOND), votes, strict=True))
            yield from columns.pairs(row, row_id, str(folder), folder)
        except BadRow as error:
            rejects.add(row_id, error)


def _votes(task: Task, names: Names, row_id: str, rejects: Rejects) -> list[float]:
    """Votes for each picture; a vote that cannot be read is listed, and the others count."""
    votes = [0.0, 0.0]
    for annotation in task.annotations:
        try:
            sides = _sides(annotation, names)
        except BadRow as error:
            rejects.add(f"{row_id}, {annotation.name}", error)
            continue
        for side in sides:
            votes[side] += 1 / len(sides)
    return votes


def _sides(annotation: Annotation, names: Names) -> tuple[int, ...]:
    """The pictures that a vote is for: one, both where it is for neither, or none where it says nothing.

    Raises:
        BadRow: it names none of the two, or says two things.
    """
    said = {SIDES.get(str(each)) for each in annotation.selected}
    if annotation.selected and None in said:
        raise BadRow(UNREADABLE, f"{annotation.selected} was selected, neither left nor right")
    for choice in annotation.choices:
        try:
            side = side_of(choice, names, "of choices")
        except BadRow:
            if annotation.selected:
                continue  # a question of its own
            raise
        if side is None or not annotation.selected:
            said.add(side)
    if len(said) > 1:
        raise BadRow("vote that says two things", annotation.name)
    return (0, 1) if None in said else tuple(side for side in said if side is not None)


def _beside(folder: Path, address: Any) -> Any:
    """The file of a folder that an address ends with; where there is none, the file's name."""
    if not isinstance(address, str) or address.startswith("data:"):
        return address
    try:
        parts = urlsplit(address)
        query = parse_qs(parts.query).get("d", [""])[0]
    except ValueError:
        return address
    names = [name for name in PurePosixPath(query or unquote(parts.path)).parts if name != "/"]
    for start in range(len(names)):
        name = "/".join(names[start:])
        try:
            if inside(folder, name).is_file():
                return name
        except BadRow:
            continue
    return address if parts.netloc or not names else names[-1]
