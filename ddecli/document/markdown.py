"""The article as GitHub Markdown."""

from __future__ import annotations

import re
from functools import singledispatch
from urllib.parse import quote

from ddecli.core.text import markdown, one_line
from ddecli.document.blocks import (
    Block,
    Bullets,
    Contents,
    Document,
    Figure,
    Grid,
    Heading,
    Paragraph,
    Span,
    Text,
)

MARKS = {"": "", "emphasis": "*"}
"""What stands around a span; whatever is not here is strong."""


def to_markdown(document: Document) -> str:
    """The whole article; pictures are linked by their paths."""
    return "\n\n".join(_block(block, document) for block in document.blocks) + "\n"


@singledispatch
def _block(block: Block, document: Document) -> str:
    raise TypeError(type(block).__name__)


@_block.register
def _(block: Heading, document: Document) -> str:
    anchor = f'<a id="{block.mark}"></a>\n\n' if block.mark else ""
    return f"{anchor}{'#' * block.level} {_text(block.text)}"


@_block.register
def _(block: Paragraph, document: Document) -> str:
    words = _text(block.text)
    return {"quote": f"> {words}", "caution": f"> **Caution.** {words}"}.get(block.kind, words)


@_block.register
def _(block: Bullets, document: Document) -> str:
    return "\n".join(f"- {_text(point)}" for point in block.points)


@_block.register
def _(block: Grid, document: Document) -> str:
    align = [":--" if column in block.words else "--:" for column in range(len(block.header))]
    lines = [_row(block.header), f"| {' | '.join(align)} |", *(_row(row) for row in block.rows)]
    caption = [_text(block.caption), ""] if block.caption else []
    return "\n".join([*caption, *lines])


@_block.register
def _(block: Figure, document: Document) -> str:
    plain = "".join(span.text for span in block.caption)
    return f"![{markdown(plain)}]({quote(block.file.as_posix())})\n\n{_text(block.caption)}"


@_block.register
def _(block: Contents, document: Document) -> str:
    return "\n".join(f"- [{_text(section.text)}](#{section.mark})" for section in document.sections)


def _row(cells: tuple[Text, ...]) -> str:
    return f"| {' | '.join(''.join(map(_in_table, cell)) for cell in cells)} |"


def _in_table(span: Span) -> str:
    """Code is the one text in which a bar is not escaped yet; a table wants it."""
    words = _span(span)
    return words.replace("|", "\\|") if span.style == "code" else words


def _text(words: Text) -> str:
    return "".join(_span(span) for span in words)


def _span(span: Span) -> str:
    if not span.text:
        return ""
    if span.style == "code":
        words = one_line(span.text)
        fence = "`" * (1 + max((len(run) for run in re.findall("`+", words)), default=0))
        words = f"{fence}{words}{fence}"
    else:
        mark = MARKS.get(span.style, "**")
        words = f"{mark}{markdown(span.text)}{mark}"
    return f"[{words}](#{span.link})" if span.link else words
