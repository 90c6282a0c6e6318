"""No text of a stranger does anything where it is shown, and none is lost."""

from __future__ import annotations

import json
import unicodedata

import pytest
from markdown_it import MarkdownIt

from ddecli.core.files import read_json, sha256_text, write_json
from ddecli.core.text import is_text, markdown, one_line, printable, to_json

HARMLESS = "Grüße, 猫 and [/b] [masterpiece] :smile: \t<b> 100 % \u200f\u05d0"
EVERY = "-".join(map(chr, range(0x110000)))


def test_what_is_harmless_stays() -> None:
    assert printable(HARMLESS + "\nnext") == HARMLESS + "\nnext"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("bell\a, back\b, \x7f, \x9b31m", r"bell\x07, back\x08, \x7f, \x9b31m"),
        ("over\rwritten", r"over\x0dwritten"),
        ("two\r\nlines", "two\nlines"),
        ("safe\u202eexe.gnp", r"safe\u202eexe.gnp"),
        (b"caf\xe9.png".decode(errors="surrogateescape"), r"caf\xe9.png"),
        ("half \ud83d", r"half \ud83d"),
    ],
)
def test_what_a_terminal_would_obey_is_shown(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_no_control_character_is_left() -> None:
    """Of all of Unicode, by the Unicode database."""
    kinds = {unicodedata.category(letter) for letter in printable(EVERY).replace("\n", "").replace("\t", "")}
    assert not kinds & {"Cc", "Cs"}
    lines = one_line(EVERY)
    assert len(lines.splitlines()) == 1 and one_line(" a \r\n\n b\u2028c\x85d") == " a b c d"


def test_json_is_the_same_value_and_shows_nothing() -> None:
    text = to_json({EVERY: [EVERY, 1.5, None]}, indent=2)
    assert json.loads(text) == {EVERY: [EVERY, 1.5, None]}
    assert not {unicodedata.category(letter) for letter in text.replace("\n", "")} & {"Cc", "Cs"}
    assert len(to_json(EVERY).splitlines()) == 1
    assert to_json({"a": "Grüße 猫"}) == '{"a": "Grüße 猫"}'


def test_any_name_can_be_written_and_hashed(tmp_path) -> None:
    name = b"caf\xe9.png".decode(errors="surrogateescape")
    write_json(tmp_path / "x.json", {"file": name})
    assert read_json(tmp_path / "x.json") == {"file": name}
    assert len({sha256_text(name), sha256_text("caf\xe9.png"), sha256_text("caf?.png")}) == 3
    assert not is_text(name) and is_text(HARMLESS)


@pytest.mark.parametrize(
    "text",
    [
        "[l](javascript:alert(1))", "![x](http://a.b/c.png)", "[a][b]", "[a]: javascript:x", "a\n\n# heading",
        "a | b", "`code`", "*stars* and **more**", "_under_ and snake_case", "<b>bold</b> <javascript:x>",
        "&lt; &#60; &amp; R&D", "~~struck~~", "back\\slash \\[x](y)", "$x^2$", "[0.1, 0.2] and [DDE]", "\x1b[31m",
        "a\r\nb\u2028c", "***", "<!-- hidden -->", "trailing \\",
    ],
)  # fmt: skip
def test_markdown_shows_the_text_and_nothing_else(text: str) -> None:
    """Read by another implementation, in a paragraph and in a table: the text is there, in one piece, as plain text."""
    parser = MarkdownIt("gfm-like", {"linkify": False, "html": True})
    shown = one_line(text)
    for source in (f"see {markdown(text)}", f"| x | y |\n| --- | --- |\n| {markdown(text)} | 1 |"):
        inline = [token for token in parser.parse(source) if token.type == "inline"]
        found = inline[0] if source.startswith("see") else inline[2]
        assert {child.type for child in found.children or ()} <= {"text", "text_special"}
        assert "".join(child.content for child in found.children or ()).removeprefix("see ") == shown
        assert len(inline) == (1 if source.startswith("see") else 4)
