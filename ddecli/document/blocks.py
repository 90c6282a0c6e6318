"""The article as data, before it is written in any format: blocks of text whose spans have a style."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ddecli.tables import render

Style = Literal["", "strong", "emphasis", "code", "good", "bad", "open", "absent"]
"""`good`, `bad`, `open`, `absent` are the colours of verdicts; where there is no colour they are strong."""


@dataclass(frozen=True)
class Span:
    """A piece of text in one style; `link` is the mark of the heading that it leads to."""

    text: str
    style: Style = ""
    link: str = ""


Text = tuple[Span, ...]
Words = str | Span | Sequence["str | Span"]


def text(words: Words) -> Text:
    """Strings and spans as one text."""
    if isinstance(words, str | Span):
        words = [words]
    return tuple(Span(word) if isinstance(word, str) else word for word in words)


def unbroken(words: str) -> str:
    """With spaces that end no line between a number and its per cent sign, for formats that break lines."""
    return re.sub(r"(?<=\d) (?=%)", "\u00a0", words)


def strong(words: str) -> Span:
    """In bold."""
    return Span(words, "strong")


def code(words: str) -> Span:
    """As typed."""
    return Span(words, "code")


@dataclass(frozen=True)
class Heading:
    """Level 1 is the title of the article; `mark` is a name that links can point to."""

    level: int
    text: Text
    mark: str = ""


@dataclass(frozen=True)
class Paragraph:
    """`kind`: plain text, a quotation, a lead (the abstract), or a caution."""

    text: Text
    kind: Literal["plain", "quote", "lead", "caution"] = "plain"


@dataclass(frozen=True)
class Bullets:
    """A list of points; small ones are notes."""

    points: tuple[Text, ...]
    small: bool = False


@dataclass(frozen=True)
class Grid:
    """A table: the first column is text, the others are numbers unless `words`."""

    header: tuple[Text, ...]
    rows: tuple[tuple[Text, ...], ...]
    caption: Text = ()
    words: frozenset[int] = frozenset({0})


@dataclass(frozen=True)
class Figure:
    """A picture; `file` is relative to the folder that the article is written to."""

    file: Path
    caption: Text


@dataclass(frozen=True)
class Contents:
    """The headings of level 2 that have a mark, as links."""


Block = Heading | Paragraph | Bullets | Grid | Figure | Contents


@dataclass(frozen=True)
class Document:
    """A whole article."""

    title: str
    blocks: tuple[Block, ...]

    @property
    def sections(self) -> list[Heading]:
        """What its contents list."""
        return [
            block for block in self.blocks if isinstance(block, Heading) and block.level == 2 and block.mark
        ]

    @property
    def figures(self) -> list[Figure]:
        """Its pictures."""
        return [block for block in self.blocks if isinstance(block, Figure)]


def heading(level: int, words: Words, mark: str = "") -> Heading:
    """A heading of strings and spans."""
    return Heading(level, text(words), mark)


def paragraph(words: Words, kind: Literal["plain", "quote", "lead", "caution"] = "plain") -> Paragraph:
    """A paragraph of strings and spans."""
    return Paragraph(text(words), kind)


def bullets(points: Iterable[Words], small: bool = False) -> Bullets:
    """A list of strings and spans."""
    return Bullets(tuple(text(point) for point in points), small)


def grid(
    header: Sequence[Words], rows: Iterable[Sequence[Words]], caption: Words = "", words: Iterable[int] = (0,)
) -> Grid:
    """A table of strings and spans; `words` are the columns that hold no numbers."""
    lines = tuple(tuple(text(cell) for cell in row) for row in rows)
    return Grid(
        tuple(text(name) for name in header), lines, text(caption) if caption else (), frozenset(words)
    )


def block_grid(block: render.Block) -> Grid:
    """A block of a rendered table."""
    rows = [
        [strong(cell) if (number, column) in block.bold else cell for column, cell in enumerate(row)]
        for number, row in enumerate(block.rows)
    ]
    return grid(block.header, rows, strong(f"{block.title}."))
