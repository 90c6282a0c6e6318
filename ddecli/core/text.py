"""Text of strangers (prompts, paths, labels) made fit for where it is shown: a terminal, one line, JSON, Markdown."""

from __future__ import annotations

import json
import math
import re
from typing import Any

_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters but tab and line break; what turns the direction of writing; halves of characters, which stand
for bytes that are no UTF-8 in the names of files."""
_BREAKS = re.compile("[ \t]*[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]+[ \t]*")
_IN_JSON = re.compile("[\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""What `json.dumps` leaves, and terminals obey, some readers take for the end of a line, or UTF-8 has not."""


def printable(text: str) -> str:
    """A text as a terminal may show it: a control character as `\\x1b`, a byte that is no UTF-8 as `\\xe9`."""
    return _UNSEEN.sub(_escape, text.replace("\r\n", "\n"))


def one_line(text: str) -> str:
    """The same without line breaks."""
    return printable(_BREAKS.sub(" ", text))


def is_text(text: str) -> bool:
    """Whether a text can be written as UTF-8: one half of a character alone cannot."""
    return not re.search("[\ud800-\udfff]", text)


def to_json(value: Any, indent: int | None = None) -> str:
    """JSON in which letters of all languages stand as they are, and whatever is not to be seen is escaped."""
    return _IN_JSON.sub(
        lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value, ensure_ascii=False, indent=indent)
    )


def bytes_in_words(count: float) -> str:
    """A number of bytes for people: `1.02 kB`."""
    exponent = min(4, max(0, math.floor(math.log(max(count, 1), 1000))))
    return f"{count / 1000**exponent:.3g} {('B', 'kB', 'MB', 'GB', 'TB')[exponent]}"


def markdown(text: str) -> str:
    """A text of one line in GitHub's Markdown, in a table too, without meaning: no link, no code, no formula.

    A letter that only means something in some places is left alone in all others.
    """
    text = re.sub(r"([\\`*<~$|]|&(?=#?\w+;))", r"\\\1", one_line(text))
    text = re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", text)
    return re.sub(r"\](?=[(\[:])", r"\\]", text)


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    if 0xDC80 <= code <= 0xDCFF:  # how Python writes a byte that is no UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
