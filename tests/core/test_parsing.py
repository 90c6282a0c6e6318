"""JSON and YAML that is broken, or that two readers would read differently, is refused in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from ddecli.core.errors import UserError
from ddecli.core.files import read_json, read_yaml
from ddecli.core.parsing import DEEPEST, check_shape, parse_json, parse_yaml
from ddecli.core.text_tables import read_records


class About(BaseModel):
    steps: int
    rate: float


@pytest.mark.parametrize("deep", [DEEPEST + 1, 900, 100_000])
def test_what_is_nested_too_deeply_is_refused(deep: int) -> None:
    for text in ("[" * deep + "]" * deep, '{"a":' * deep + "1" + "}" * deep):
        with pytest.raises(ValueError, match="nested too deeply"):
            parse_json(text)


def test_deep_yaml_is_refused() -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        parse_yaml("a: " + "[" * 2000)


def test_what_is_wide_and_not_deep_is_read() -> None:
    assert parse_json("[" + "[[]]," * 500 + "[]]") == [[[]]] * 500 + [[]]
    deepest = "[" * DEEPEST + "]" * DEEPEST
    assert json.dumps(parse_json(deepest)) == deepest


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("beta: 1\nlr: 2\nbeta: 3\n", "line 3, beta is there twice"),
        ("a: {beta: 1, 'beta': 3}\n", "line 1, beta is there twice"),
        ("steps: 010\n", "line 1, 010 is a number to another base than ten"),
        ("a:\n- -0_7\n", "line 2, -0_7 is a number to another base"),
        ("time: 1:30\n", "1:30 is a number to another base"),
        ("time: 1:30.5\n", "1:30.5 is a number to another base"),
        ("x: !!bool 7\n", "a value is not what its tag says"),
        ("x: !!int ''\n", "a value is not what its tag says"),
        ("x: !!python/name:os.system\n", "line 1, could not determine a constructor"),
    ],
)
def test_traps_of_yaml_are_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(UserError) as error:
        read_yaml(tmp_path / "x.yaml")
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_ordinary_yaml_is_read() -> None:
    text = """
        a: &a {x: 0, y: -10, z: 0.5, h: 0x1F, e: 1.0e-4, n: 1_000}
        b: {<<: *a, y: 2}
        c: "010"
        d: {x: 1}
        o: 0o10
        t: 12:99
    """
    assert parse_yaml(text) == {
        "a": {"x": 0, "y": -10, "z": 0.5, "h": 31, "e": 1e-4, "n": 1000},
        "b": {"x": 0, "y": 2, "z": 0.5, "h": 31, "e": 1e-4, "n": 1000},
        "c": "010",
        "d": {"x": 1},
        "o": "0o10",
        "t": "12:99",
    }


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([], "valid dictionary"),
        ({"steps": 1}, "rate: field required"),
        ({"steps": "1", "rate": 1}, "steps: input should be a valid integer"),
        ({"steps": True, "rate": 1}, "steps: input should be a valid integer"),
        ({"steps": 1.5, "rate": 1}, "steps: input should be a valid integer"),
    ],
)
def test_a_value_of_another_shape_is_told_from_one_that_fits(value: Any, said: str) -> None:
    check_shape({"steps": 3, "rate": 2, "more": None}, About)
    with pytest.raises(ValueError, match=said):
        check_shape(value, About)


def test_a_damaged_row_is_named(tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    file.write_text(
        '{"steps": 1, "rate": 0.5}\n{"steps": 2, "rate": 1, "text": "\u2028"}\n', encoding="utf-8"
    )
    assert [row["steps"] for row in read_records(file, "train again", About)] == [1, 2]
    good = file.read_bytes()
    for content, said in [
        (good[:-10], "line 2"),
        (good + b'{"steps": 3}\n', r"line 3 \(rate: field required\)"),
        (good + b"\xff\n", ""),
        (good + b"[" * 200_000 + b"\n", "line 3 .*nested too deeply"),
    ]:
        file.write_bytes(content)
        with pytest.raises(UserError, match=rf"x\.jsonl .*{said}"):
            read_records(file, "train again", About)


def test_a_file_of_another_shape_names_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"steps": null, "rate": 1}')
    with pytest.raises(UserError, match=r"x\.json is damaged \(steps: .*\); train again\.$"):
        read_json(tmp_path / "x.json", About, "train again")
    (tmp_path / "x.json").write_bytes(b"\xff")
    with pytest.raises(UserError, match=r"x\.json cannot be read as JSON \(.*\); train again\.$"):
        read_json(tmp_path / "x.json", About, "train again")
