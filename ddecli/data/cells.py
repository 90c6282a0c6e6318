"""Cells of a table that hold a prompt or a picture, in the forms that people give them."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ddecli.core.errors import BadRow
from ddecli.core.inside import inside
from ddecli.core.text import is_text
from ddecli.data.pairs import ImageRef

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_DATA_ADDRESS = re.compile(r"data:image/[\w.+-]+;base64,", re.IGNORECASE)
_BASE64_BEGINS = ("iVBORw0KGgo", "/9j/", "R0lGOD", "UklGR", "Qk0", "SUkqA", "TU0AK")
"""How PNG, JPEG, GIF, WebP, BMP and TIFF begin in base64."""
_BASE64 = re.compile(r"[A-Za-z0-9+/\s]{100,}={0,2}\s*")


def prompt_of(value: Any) -> str:
    """A prompt: a text, or the user's part of a chat (`[{"role": "user", "content": "a cat"}]`).

    Raises:
        BadRow: there is none.
    """
    if _is_chat(value):
        said = [_said(message.get("content")) for message in value if message.get("role") == "user"]
        value = "\n".join(said)
    if not isinstance(value, str) or not value.strip():
        raise BadRow("empty prompt")
    if not is_text(value):
        raise BadRow("prompt is no Unicode text", "it holds half of a surrogate pair")
    return value


def image_of(value: Any, column: str, folder: Path | None) -> ImageRef:
    """A picture: bytes, a list of bytes, `{"bytes", "path"}` (as `datasets` writes), base64, or a file name.

    Args:
        folder: file names are relative to it and may not leave it; None: there may be none.

    Raises:
        BadRow: it is none of these, or an address in the network.
    """
    if isinstance(value, Mapping):
        value = value.get("bytes") or value.get("path")
    if _is_chat(value):
        raise BadRow("no picture", f"column {column} holds a chat")
    if isinstance(value, Sequence) and not isinstance(value, str | bytes) and value:
        value = _of_list(value, column)
    if isinstance(value, bytes) and value:
        return value
    if not isinstance(value, str) or not value:
        raise BadRow("missing image", f"column {column} is empty")
    if _DATA_ADDRESS.match(value) or (value.startswith(_BASE64_BEGINS) and _BASE64.fullmatch(value)):
        return _of_base64(value, column)
    if _ADDRESS.match(value):
        raise BadRow(
            "picture is an address",
            f"column {column} says {value[:100]}: fetch the pictures, and name their files",
        )
    if folder is None:
        raise BadRow(
            "missing image", f"column {column} names the file {value[:100]}, which is not in the shard"
        )
    return inside(folder, value)


def _of_list(value: Sequence[Any], column: str) -> bytes:
    """A picture's bytes, each a number of its own."""
    try:
        return bytes(value)
    except (TypeError, ValueError) as error:
        raise BadRow("no picture", f"column {column} holds a list that is not of bytes") from error


def _of_base64(value: str, column: str) -> bytes:
    try:
        return base64.b64decode("".join(_DATA_ADDRESS.sub("", value, count=1).split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadRow("unreadable image", f"column {column} holds base64 that is cut or damaged") from error


def _is_chat(value: Any) -> bool:
    return (
        isinstance(value, Sequence)
        and not isinstance(value, str | bytes)
        and len(value) > 0
        and all(isinstance(message, Mapping) and "role" in message for message in value)
    )


def _said(content: Any) -> str:
    """The text of a message, which may be in parts (`[{"type": "text", "text": "a cat"}]`)."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, Sequence) else []
    return "\n".join(str(part["text"]) for part in parts if isinstance(part, Mapping) and part.get("text"))
