"""Text that people wrote: UTF-8, or one sentence that says what it is instead and how to convert it."""

from __future__ import annotations

import codecs
from pathlib import Path

from ddecli.core.errors import UserError
from ddecli.core.paths import readable_file

_OTHER_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",  # begins as UTF-16's mark does, so it is looked for first
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
HEAD = 4096
"""Bytes of a file's beginning that are looked at."""


def read_text(path: Path) -> str:
    """A whole text file, without its byte order mark. Line ends are left as they are.

    Raises:
        UserError: it is missing, no file, or not UTF-8.
    """
    return decode(readable_file(path).read_bytes(), str(path))


def decode(content: bytes, name: str) -> str:
    """A whole text from its bytes, without its byte order mark.

    Raises:
        UserError: it is not UTF-8. `name` is what the sentence calls it.
    """
    check_head(content[:HEAD], name)
    return decode_lines(content.removeprefix(codecs.BOM_UTF8), name, 1)


def check_head(head: bytes, name: str) -> None:
    """Refuse by a text's first bytes what is another encoding, or no text.

    Raises:
        UserError: with the way out.
    """
    for mark, encoding in _OTHER_MARKS.items():
        if head.startswith(mark):
            raise UserError(
                f"{name} is {encoding} text, and only UTF-8 is read: save it as UTF-8, or convert it with "
                f"`iconv -f {encoding} -t UTF-8 FILE > NEW`."
            )
    if b"\0" in head:
        raise UserError(f"{name} is no UTF-8 text (it holds NUL bytes): save it as UTF-8 text.")


def decode_lines(content: bytes, name: str, first: int) -> str:
    """Some lines of a text.

    Args:
        first: number of the first of them, for the error.

    Raises:
        UserError: they are not UTF-8.
    """
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = first + content.count(b"\n", 0, error.start)
        raise UserError(
            f"{name} is not UTF-8 text: line {line} has the byte 0x{content[error.start]:02X}. Save it as UTF-8; what "
            "Windows wrote is converted with `iconv -f WINDOWS-1252 -t UTF-8 FILE > NEW`."
        ) from error
