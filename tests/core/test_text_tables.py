"""Text tables and lists of prompts: what ends a line, what is no part of a text, and what is refused."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from ddecli.core.errors import BadRow, UserError
from ddecli.core.prompts import read_prompts
from ddecli.core.text_tables import Mark, read_records, read_rows

NO_LINE_ENDS = "a\u2028b\u2029c\u0085d\x0be\x0cf\x1cg\x1dh\x1ei"
"""Every character at which str.splitlines() splits and no file format does."""
PROMPTS = [NO_LINE_ENDS, "a cat", "ein Füchslein 狐"]


def rows(file: Path, content: str | bytes) -> list[Any]:
    """The rows; a bad one as its reason."""
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return [str(row) if isinstance(row, BadRow) else row for _, row, _ in read_rows(file)]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("suffix", ["txt", "csv", "tsv", "jsonl", "json"])
def test_only_lf_and_crlf_end_a_line(tmp_path: Path, suffix: str, end: str) -> None:
    if suffix == "txt":
        text = end.join(PROMPTS) + end
    elif suffix == "json":
        text = f"[{end}" + f",{end}".join(json.dumps(p, ensure_ascii=False) for p in PROMPTS) + f"{end}]"
    elif suffix == "jsonl":
        text = "".join(json.dumps({"prompt": p}, ensure_ascii=False) + end for p in PROMPTS)
    else:
        written = io.StringIO()
        delimiter = "," if suffix == "csv" else "\t"
        writer = csv.writer(written, delimiter=delimiter, lineterminator=end)
        writer.writerows([["prompt", "n"], *([p, "1"] for p in PROMPTS)])
        text = written.getvalue()
    for mark in ("", "\ufeff"):
        (tmp_path / f"x.{suffix}").write_bytes((mark + text).encode())
        assert read_prompts(tmp_path / f"x.{suffix}") == PROMPTS


def test_quoted_line_breaks_are_kept_as_they_are(tmp_path: Path) -> None:
    text = 'prompt,n\n"a\nb",1\n"c\r\nd",2\n"e\rf",3\n'
    (tmp_path / "x.csv").write_bytes(text.encode())
    assert read_prompts(tmp_path / "x.csv") == ["a\nb", "c\r\nd", "e\rf"]
    found = list(read_rows(tmp_path / "x.csv"))
    assert [number for number, _, _ in found] == [3, 5, 6]
    assert [row for _, row, _ in read_rows(tmp_path / "x.csv", found[0][2])] == [
        row for _, row, _ in found[1:]
    ]


@pytest.mark.parametrize("suffix", ["txt", "csv", "jsonl", "json"])
@pytest.mark.parametrize(
    ("encoding", "named"),
    [
        ("cp1252", "byte 0xE9"),
        ("utf-16", "UTF-16"),
        ("utf-16-be", "NUL bytes"),
        ("utf-32", "UTF-32"),
        ("shift-jis", "byte 0x8C"),
    ],
)
def test_other_encodings_are_named(tmp_path: Path, suffix: str, encoding: str, named: str) -> None:
    word = "狐" if encoding == "shift-jis" else "café"
    prompt = {
        "txt": word,
        "csv": f"prompt,n\n{word},1",
        "jsonl": f'{{"prompt": "{word}"}}',
        "json": f'["{word}"]',
    }
    file = tmp_path / f"x.{suffix}"
    file.write_bytes(prompt[suffix].encode(encoding))
    with pytest.raises(UserError, match=named) as refused:
        read_prompts(file)
    assert "\0" not in str(refused.value)
    assert "\ufffd" not in str(refused.value)
    assert "UTF-8" in str(refused.value)


def test_the_line_of_a_wrong_byte_is_named(tmp_path: Path) -> None:
    for suffix, before in (
        ("txt", "a\r\n\nb\n"),
        ("csv", "prompt\n\na\n"),
        ("jsonl", '{"prompt": "a"}\n\n\n'),
    ):
        (tmp_path / f"x.{suffix}").write_bytes(before.encode() + b"caf\xe9\n")
        with pytest.raises(UserError, match="line 4 has the byte 0xE9"):
            read_prompts(tmp_path / f"x.{suffix}")


def test_the_delimiter_is_found_in_the_header(tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    plain = [{"prompt": "a, b; c", "n": "1"}]
    for delimiter in ";|\t":
        assert rows(file, f'prompt{delimiter}n\n"a, b; c"{delimiter}1\n') == plain
    assert rows(file, 'prompt,n;m;o\n"a, b; c",1\n') == [{"prompt": "a, b; c", "n;m;o": "1"}]
    assert rows(file, "prompt\na; b | c\n") == [{"prompt": "a; b | c"}]
    assert rows(tmp_path / "x.tsv", 'prompt,n\n"a, b; c",1\n') == plain


def test_spaces_around_cells_where_the_header_has_them(tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    assert rows(file, 'prompt, n, m\na , 1 , "b, c"\n') == [{"prompt": "a", "n": "1", "m": "b, c"}]
    assert rows(file, "prompt ,n\n a, 1\n") == [{"prompt": " a", "n": " 1"}]


def test_cells_beyond_the_columns(tmp_path: Path) -> None:
    """An unquoted comma would cut a prompt without a word."""
    file = tmp_path / "x.csv"
    said = "malformed row: 3 cells for 2 columns: put a text that has ',' in it in quotation marks"
    assert rows(file, "n,prompt\n1,a cat, sitting\n2,b,\n3\n") == [
        said,
        {"n": "2", "prompt": "b"},
        {"n": "3", "prompt": None},
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('prompt,n\na,1\n"b,2\nc,3\n', "quotation mark that is not closed, in the row that ends with line 4"),
        ('"prompt,n\na,1\n', "quotation mark that is not closed"),
        ("prompt,n\ra,1\rb,2\r", "line 1: it has a CR where a line should end with LF or CRLF"),
        ("prompt,n\na,1\rb,2\n", "line 2: it has a CR where a line should end with LF or CRLF"),
    ],
)
def test_csv_whose_rows_cannot_be_told_apart(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        rows(tmp_path / "x.csv", text)


def test_quotation_marks_of_a_tsv_where_they_are_written_as_in_csv(tmp_path: Path) -> None:
    file = tmp_path / "x.tsv"
    assert rows(file, 'prompt\tn\n"a\tb ""c"""\t1\n') == [{"prompt": 'a\tb "c"', "n": "1"}]
    assert rows(file, 'prompt\tn\n"a" b\t1\n"c"\t2\n') == [
        {"prompt": '"a" b', "n": "1"},
        {"prompt": '"c"', "n": "2"},
    ]


def test_a_cell_may_hold_a_picture(tmp_path: Path) -> None:
    cell = "x" * 1_000_000
    assert rows(tmp_path / "x.csv", f"prompt,n\n{cell},1\n") == [{"prompt": cell, "n": "1"}]


@pytest.mark.parametrize("line", ["[" * 100_000, "{", "[1]", "1" * 5000])
def test_a_bad_line_of_json_is_one_bad_row(tmp_path: Path, line: str) -> None:
    (_, row), (number, good) = [
        (number, row)
        for number, row, _ in read_rows(written(tmp_path / "x.jsonl", f'{line}\n{{"a": "🦊"}}\n'))
    ]
    assert isinstance(row, BadRow)
    assert row.reason == "malformed row"
    assert (number, good) == (2, {"a": "🦊"})
    with pytest.raises(UserError, match=r"x\.jsonl is damaged at line 1 .*: make it again\."):
        read_records(tmp_path / "x.jsonl", "make it again")


def written(file: Path, text: str) -> Path:
    file.write_text(text, encoding="utf-8")
    return file


def test_reading_goes_on_from_any_place(tmp_path: Path) -> None:
    lines = "".join(
        json.dumps({"prompt": f"{p}{i}"}, ensure_ascii=False) + "\n" for i, p in enumerate(PROMPTS)
    )
    whole = list(read_rows(written(tmp_path / "x.jsonl", lines)))
    assert whole[0][2] == Mark(len(lines.split("\n")[0].encode()) + 1, 1)
    for number, (_, _, behind) in enumerate(whole):
        assert list(read_rows(tmp_path / "x.jsonl", behind)) == whole[number + 1 :]


def test_records_of_another_shape_are_damaged(tmp_path: Path) -> None:
    file = written(tmp_path / "x.jsonl", '{"a": "b"}\n{"a": 1}\n')
    assert read_records(file, "make it again") == [{"a": "b"}, {"a": 1}]
    with pytest.raises(UserError, match=r"x\.jsonl is damaged at line 2 .*: make it again\."):
        read_records(file, "make it again", dict[str, str])


def test_a_wrong_byte_of_the_header_is_in_line_1(tmp_path: Path) -> None:
    for blank, line in ((b"", 1), (b"\n\n", 3)):
        with pytest.raises(UserError, match=f"line {line} has the byte 0xFF"):
            rows(tmp_path / "x.csv", blank + b"prompt,\xff\na,b\n")
