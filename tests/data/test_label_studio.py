"""Label Studio's exports as pairs: files of version 1.23.2, cut to a few keys, and what people do with such files."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from pair_data import png

from ddecli.core.errors import UserError
from ddecli.data.pairs import NOT_LABELLED, TIE, Pair, Rejects
from ddecli.data.sources.base import Wanted
from ddecli.data.sources.registry import open_source

ADDRESS = "/data/local-files/?d=for-ls/pictures/{}.png"
RIGHT = {"value": {"selected": "right"}, "id": "EDF_T3G3At", "from_name": "preference", "to_name": "preference",
         "type": "pairwise", "origin": "manual"}  # fmt: skip
LEFT = RIGHT | {"value": {"selected": "left"}, "id": "XXHYFnVu2F"}
BAD = {"value": {"choices": ["both bad"]}, "id": "oa4INrBw8g", "from_name": "neither", "to_name": "image1",
       "type": "choices", "origin": "manual"}  # fmt: skip
TIED = BAD | {"value": {"choices": ["tie"]}}


def task(number: int, *results: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """A task of its JSON with an annotation for each list of results."""
    annotations = [
        {
            "id": 10 * number + n,
            "completed_by": n,
            "result": result,
            "was_cancelled": False,
            "lead_time": 10.785,
        }
        for n, result in enumerate(results)
    ]
    data = {
        "prompt": f'a "fox" é {number}', "image1": ADDRESS.format(2 * number),
        "image2": ADDRESS.format(2 * number + 1), "pair": f"pair {number}",
        "votes": [{"voter": "ann", "choice": "image1"}],
    }  # fmt: skip
    return {
        "id": 6 + number,
        "annotations": annotations,
        "drafts": [],
        "predictions": [],
        "data": data | more,
    }


def rows(tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same as JSON-MIN has it: a row an annotation, the last one first, and a row of a task without any."""
    found = []
    for each in tasks:
        for annotation in reversed(each["annotations"]) if each["annotations"] else [None]:
            result = annotation["result"][0] if annotation else {"from_name": "preference", "value": None}
            said = result["value"] and (result["value"].get("choices", [result["value"]]))
            row = dict(each["data"]) | {
                "id": each["id"],
                result["from_name"]: said[0] if result is TIED else said,
            }
            about = annotation or {"completed_by": None, "id": None, "lead_time": None}
            named = {"annotator": "completed_by", "annotation_id": "id", "lead_time": "lead_time"}
            found.append(row | {name: about[key] for name, key in named.items()})
    return found


def as_csv(found: list[dict[str, Any]], delimiter: str) -> str:
    """The same as CSV or TSV has it: all columns in every row, lists as JSON, in quotation marks unless a number."""
    text = io.StringIO()
    names = sorted({name for row in found for name in row})
    table = csv.writer(text, delimiter=delimiter, quoting=csv.QUOTE_NONNUMERIC)
    table.writerow(names)
    for row in found:
        cells = ["" if row.get(name) is None else row[name] for name in names]
        table.writerow([json.dumps(cell) if isinstance(cell, list) else cell for cell in cells])
    return text.getvalue()


TASKS = [
    task(0, [RIGHT]),
    task(1, [LEFT], [LEFT], [RIGHT], [TIED]),
    task(2, [TIED]),
    task(3, [RIGHT], [LEFT]),
    task(4),
]
PAIRS = [('a "fox" é 0', 1, 0, 1.0), ('a "fox" é 1', 2, 3, 2.5 / 4)]
"""Prompt, number of the preferred and of the other picture, share of the votes."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the pictures, where a downloaded export is put."""
    (tmp_path / "pictures").mkdir()
    for number in range(10):
        (tmp_path / "pictures" / f"{number}.png").write_bytes(png(number))
    return tmp_path


def write(folder: Path, tasks: list[dict[str, Any]], kind: str = "json") -> Path:
    file = folder / {"min": "m.json"}.get(kind, f"export.{kind}")
    content = {
        "json": lambda: json.dumps(tasks),
        "min": lambda: json.dumps(rows(tasks), indent=2),
        "csv": lambda: as_csv(rows(tasks), ","),
        "tsv": lambda: as_csv(rows(tasks), "\t"),
    }
    file.write_text(content[kind](), encoding="utf-8")
    return file


def read(data: Path, **wanted: Any) -> tuple[list[Pair], Rejects]:
    rejects = Rejects()
    return [
        pair for part in open_source(data, Wanted(**wanted)).parts for pair in part.read(rejects)
    ], rejects


def found(pairs: list[Pair]) -> list[tuple[str, int, int, float | None]]:
    numbers = {png(number): number for number in range(10)}
    return [
        (
            pair.prompt,
            *(numbers[Path(str(each)).read_bytes()] for each in (pair.chosen, pair.rejected)),
            pair.strength,
        )
        for pair in pairs
    ]


@pytest.mark.parametrize("kind", ["json", "min", "csv", "tsv"])
def test_the_votes_on_a_task_are_added_up(folder: Path, kind: str) -> None:
    file = write(folder, TASKS, kind)
    pairs, rejects = read(file)
    assert found(pairs) == PAIRS
    assert rejects.counts == {TIE: 2, NOT_LABELLED: 1} and not rejects.bad_rows
    assert open_source(file).layout.endswith("Label Studio")


def test_rows_of_a_task_that_lie_apart(folder: Path) -> None:
    apart = rows(TASKS)
    (folder / "m.json").write_text(json.dumps(apart[::2] + apart[1::2]))
    assert sorted(found(read(folder / "m.json")[0])) == PAIRS


def test_a_table_in_the_folder_is_found(folder: Path) -> None:
    write(folder, TASKS, "csv")
    assert found(read(folder)[0]) == PAIRS


def test_skipped_tasks_and_empty_votes_do_not_count(folder: Path) -> None:
    skipped = task(0, [RIGHT], [LEFT], [])
    skipped["annotations"][1]["was_cancelled"] = True
    assert found(read(write(folder, [skipped]))[0]) == PAIRS[:1]


def test_a_vote_that_says_two_things_is_listed_and_the_others_count(folder: Path) -> None:
    pairs, rejects = read(
        write(folder, [task(0, [LEFT, BAD], [RIGHT], [LEFT | {"value": {"selected": "up"}}])])
    )
    assert found(pairs) == PAIRS[:1]
    assert [row["row"] for row in rejects.bad_rows] == [
        "export.json:0, annotation 0",
        "export.json:0, annotation 2",
    ]
    assert set(rejects.counts) == {"vote that says two things", "unreadable label"}


@pytest.mark.parametrize("word", ["image2", "right", "2"])
def test_pages_whose_choices_name_the_picture(folder: Path, word: str) -> None:
    chosen = BAD | {"value": {"choices": [word]}}
    assert found(read(write(folder, [task(0, [chosen])]))[0]) == PAIRS[:1]


def test_another_question_beside_the_pictures(folder: Path) -> None:
    more = [
        BAD | {"from_name": "why", "value": {"choices": ["colours"]}},
        BAD | {"value": {"choices": ["1"]}},
    ]
    rated = {"type": "rating", "value": {"rating": 4}, "from_name": "stars", "to_name": "image1"}
    assert found(read(write(folder, [task(0, [RIGHT, *more, rated])]))[0]) == PAIRS[:1]


@pytest.mark.parametrize(
    "address",
    [
        "http://localhost:8080/data/local-files/?d=pictures%2F{}.png", "/data/upload/3/{}.png", "pictures/{}.png",
        "s3://bucket/pictures/{}.png", "{}.png",
    ],
)  # fmt: skip
def test_where_pictures_are_found(folder: Path, address: str) -> None:
    if "pictures" not in address:
        (folder / "pictures").rename(folder / "p")
        for file in (folder / "p").iterdir():
            file.rename(folder / file.name)
    voted = task(0, [RIGHT], image1=address.format(0), image2=address.format(1))
    assert found(read(write(folder, [voted]))[0]) == PAIRS[:1]


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("/data/local-files/?d=pictures/gone.png", None),
        ("/data/local-files/?d=../secret.png", None),
        ("/data/local-files/?d=pictures/link.png", None),
        (None, "missing image"),
        ("https://example.org/gone.png", "picture is an address"),
        ("http://[", "picture is an address"),
    ],
)
def test_pictures_that_are_not_there(folder: Path, address: Any, reason: str | None) -> None:
    """A reason to drop the row, or the name of a file that the reader of pictures will miss."""
    inner = folder / "inner"
    (folder / "secret.png").write_bytes(png(1))
    (inner / "pictures").mkdir(parents=True)
    (inner / "pictures" / "link.png").symlink_to(folder / "secret.png")
    pairs, rejects = read(write(inner, [task(0, [LEFT], image1=address)]))
    assert [pair.chosen for pair in pairs] == ([] if reason else [inner / address.split("/")[-1]])
    assert not any(Path(str(pair.chosen)).exists() for pair in pairs)
    assert list(rejects.counts) == ([reason] if reason else [])


def test_names_that_are_given(folder: Path) -> None:
    data = {"data": {"text": "a fox", "one": "pictures/0.png", "two": "pictures/1.png"}}
    file = write(folder, [task(0, [RIGHT]) | data])
    pairs, _ = read(file, mapping={"image_0": "one", "image_1": "two"})
    assert found(pairs) == [("a fox", 1, 0, 1.0)]
    with pytest.raises(UserError, match="image_0"):
        read(file)


def test_where_scorers_decide_the_votes_do_not_count(folder: Path) -> None:
    pairs, rejects = read(write(folder, TASKS), labelled=False)
    assert len(pairs) == 5 and not rejects.counts and {pair.strength for pair in pairs} == {None}


def test_what_is_refused(folder: Path) -> None:
    with pytest.raises(UserError, match="leave --winners-only out"):
        read(write(folder, TASKS), winners_only=True)
    broken = [task(0, [RIGHT]), {"id": 3}, {"data": 1, "annotations": []}]
    pairs, rejects = read(write(folder, broken))
    assert found(pairs) == PAIRS[:1] and rejects.counts == {"malformed row": 2}


@pytest.mark.parametrize("kind", ["min", "csv"])
def test_rows_of_choices_by_name_need_their_column(folder: Path, kind: str) -> None:
    chosen = [
        {key: value for key, value in row.items() if key != "preference"} | {"better": word}
        for row, word in zip(rows([task(0, *[[RIGHT]] * 4)]), ("image2", "right", "2", "tie"), strict=True)
    ]
    file = folder / ("m.json" if kind == "min" else "export.csv")
    file.write_text(json.dumps(chosen) if kind == "min" else as_csv(chosen, ","))
    assert found(read(file, mapping={"winner": "better"})[0]) == [('a "fox" é 0', 1, 0, 3.5 / 4)]
    with pytest.raises(UserError, match="name the column of choices"):
        read(file)
    assert len(read(file, labelled=False)[0]) == 1
