"""Prompts from files and lists."""

from __future__ import annotations

from pathlib import Path

import pytest

from ddecli.core.errors import UserError
from ddecli.core.files import sha256_text
from ddecli.core.prompts import read_prompts
from ddecli.core.protocol import prompt_id
from ddecli.sampling.prompts import make_prompt_set


def test_empty_and_repeated_prompts_are_left_out_and_counted() -> None:
    found = make_prompt_set("x", ["a  dog", "", "a cat", "  ", "a dog", "a\ncat"])
    assert found.prompts == ("a dog", "a cat")
    assert (found.empty, found.duplicates) == (2, 2)
    assert found.sha256 == sha256_text("a dog\na cat")


def test_first_prompts_only() -> None:
    assert make_prompt_set("x", ["a", "b", "c"], 2).prompts == ("a", "b")


def test_prompt_id_is_twelve_hexadecimal_digits() -> None:
    assert prompt_id("a dog") == sha256_text("a dog")[:12]


@pytest.mark.parametrize("lines", [[], ["", "  "]])
def test_no_prompt_is_refused(lines: list[str]) -> None:
    with pytest.raises(UserError, match="no prompt"):
        make_prompt_set("prompts.txt", lines)


def test_text_file_with_byte_order_mark_and_other_scripts(tmp_path: Path) -> None:
    file = tmp_path / "prompts.txt"
    file.write_text("\ufeffein Kreis\n赤い丸\n\nдом\r\n", encoding="utf-8")
    assert make_prompt_set("x", read_prompts(file)).prompts == ("ein Kreis", "赤い丸", "дом")


def test_jsonl_file(tmp_path: Path) -> None:
    file = tmp_path / "prompts.jsonl"
    file.write_text('{"prompt": "a", "other": 1}\n\n{"prompt": "b"}\n"c"\n')
    assert read_prompts(file) == ["a", "b", "c"]


@pytest.mark.parametrize("line", ["{", '{"title": "a"}', '{"prompt": 3}', "[1]", "[" * 200_000])
def test_bad_jsonl_line_is_named(tmp_path: Path, line: str) -> None:
    file = tmp_path / "prompts.jsonl"
    file.write_text('{"prompt": "a"}\n' + line + "\n")
    with pytest.raises(UserError, match="line 2"):
        read_prompts(file)


def test_missing_and_binary_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        read_prompts(tmp_path / "none.txt")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(UserError, match="UTF-16"):
        read_prompts(tmp_path / "binary.txt")
    with pytest.raises(UserError, match="is a folder, not a file"):
        read_prompts(tmp_path)
