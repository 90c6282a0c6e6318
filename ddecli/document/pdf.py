"""The article as PDF, typeset by typst.

Text reaches typst as string literals in code, never as markup, so nothing in it can be taken for a command.
"""

from __future__ import annotations

from functools import singledispatch
from importlib.util import find_spec
from pathlib import Path

from ddecli.core.errors import UserError
from ddecli.core.files import atomic_file
from ddecli.core.text import one_line
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
    unbroken,
)

WIDE = 7
"""Tables with more columns than this are set smaller."""
FUNCTIONS = {"strong": "strong", "emphasis": "emph", "code": "raw"}
LONG = 12
"""Tables with more rows than this may be cut by the end of a page."""
PREAMBLE = """
#set page(paper: "a4", margin: (x: 17.3mm, top: 22mm, bottom: 24mm), numbering: "1", number-align: center)
#set text(font: "Libertinus Serif", size: 10pt, lang: "en")
#set par(justify: true, leading: 0.62em, spacing: 0.9em)
#set list(indent: 0.4em, spacing: 0.62em)
#show heading: set text(font: "Libertinus Serif")
#show heading: set par(justify: false)
#show heading.where(level: 1): set text(size: 19pt)
#show heading.where(level: 1): set block(below: 1.2em)
#show heading.where(level: 2): set text(size: 14pt)
#show heading.where(level: 2): set block(above: 1.9em, below: 0.9em)
#show heading.where(level: 3): set text(size: 10.8pt)
#show heading.where(level: 3): set block(above: 1.6em, below: 0.75em, sticky: true)
#show raw: set text(size: 0.92em)
#show figure: set block(breakable: true)
#show figure.caption: set text(size: 8.6pt)
#show figure.caption: set par(justify: false)
#show figure.caption: set align(left)
#show figure.where(kind: table): set figure.caption(position: top)
#show figure.where(kind: table): set align(left)
#let colours = (good: rgb("#1b7a43"), bad: rgb("#b3312b"), open: rgb("#96690a"), absent: rgb("#66707b"))
#let verdict(kind, body) = text(fill: colours.at(kind), weight: "bold", body)
#let caution(body) = block(fill: rgb("#fdf6e7"), stroke: (left: 2pt + rgb("#96690a")), inset: 7pt, width: 100%,
  [#strong("Caution.") #body])
#let notes(body) = { set text(size: 8.4pt); set par(justify: false); body }
#let quotation(body) = block(inset: (left: 10pt, y: 1pt), stroke: (left: 1.5pt + rgb("#d9dee4")),
  text(fill: rgb("#4d5864"), style: "italic", body))
#let contents = block(below: 1.4em, columns(2, outline(depth: 2, title: none)))
#let picture(file) = layout(room => {
  let natural = image(file)
  if measure(natural).width > room.width { image(file, width: 100%) } else { natural }
})
#let grid-of(columns, align, size, head, cells) = {
  set text(size: size)
  set par(justify: false, leading: 0.5em)
  table(columns: columns, align: align, stroke: none, inset: (x: 3.2pt, y: 2.6pt),
    table.hline(stroke: 0.8pt), table.header(..head.map(strong)), table.hline(stroke: 0.5pt), ..cells,
    table.hline(stroke: 0.8pt))
}
"""


def typst_is_there() -> bool:
    """Whether the typst package is installed."""
    return find_spec("typst") is not None


def write_pdf(document: Document, folder: Path, file: Path) -> None:
    """Typeset the article.

    Args:
        folder: that the pictures' paths are relative to.
        file: the PDF to write.

    Raises:
        UserError: a picture that typst cannot read.
    """
    import typst

    try:
        # Its stub takes the bytes of a source for a list of sources.
        pdf = typst.compile(to_typst(document, folder).encode(), root=str(folder.resolve()))  # type: ignore[type-var]
    except typst.TypstError as error:
        raise UserError(f"{file} cannot be typeset: {str(error).splitlines()[0]}.") from error
    with atomic_file(file) as temporary:
        temporary.write_bytes(pdf)


def to_typst(document: Document, folder: Path) -> str:
    """The source that is typeset; pictures by their paths from the root, which is `folder`.

    Of a picture that was drawn as PDF too, that is taken: it has no pixels, and its size.
    """
    title = f"#set document(title: {_literal(document.title)}, date: none)\n"
    return title + PREAMBLE + "\n".join(_block(block, folder) for block in document.blocks) + "\n"


@singledispatch
def _block(block: Block, folder: Path) -> str:
    raise TypeError(type(block).__name__)


@_block.register
def _(block: Heading, folder: Path) -> str:
    outlined, bookmarked = (str(found).lower() for found in (block.level == 2, block.level <= 2))
    options = f"level: {block.level}, outlined: {outlined}, bookmarked: {bookmarked}"
    mark = f"#label({_literal(block.mark)})" if block.mark else ""
    return f"#heading({options}, {_text(block.text)}){mark}\n"


@_block.register
def _(block: Paragraph, folder: Path) -> str:
    words = _text(block.text)
    function = {"quote": "quotation", "caution": "caution"}.get(block.kind)
    return f"#{function}({words})\n" if function else f"#{words}\n"


@_block.register
def _(block: Bullets, folder: Path) -> str:
    points = f"list({', '.join(_text(point) for point in block.points)})"
    return f"#notes({points})\n" if block.small else f"#{points}\n"


@_block.register
def _(block: Grid, folder: Path) -> str:
    count = len(block.header)
    align = ", ".join("left" if column in block.words else "right" for column in range(count))
    columns = ", ".join("auto" for _ in range(count))
    size = "7pt" if count > WIDE else "8.4pt"
    head = ", ".join(_text(name) for name in block.header)
    cells = ", ".join(_text(cell) for row in block.rows for cell in row)
    body = f"grid-of(({columns},), ({align},), {size}, ({head},), ({cells},))"
    if block.caption:
        caption = _text(block.caption)
        body = f"figure({body}, kind: table, supplement: none, numbering: none, caption: {caption})"
    breakable = str(len(block.rows) > LONG).lower()
    return f"#block(above: 1em, below: 1.2em, breakable: {breakable}, {body})\n"


@_block.register
def _(block: Figure, folder: Path) -> str:
    vector = block.file.with_suffix(".pdf")
    file = vector if (folder / vector).is_file() else block.file
    picture = f"picture({_literal('/' + file.as_posix())})"
    figure = f"figure({picture}, supplement: none, numbering: none, caption: {_text(block.caption)})"
    return f"#block(above: 1.2em, below: 1.6em, breakable: false, {figure})\n"


@_block.register
def _(block: Contents, folder: Path) -> str:
    return "#contents\n"


def _text(words: Text) -> str:
    """An expression that is content."""
    return "[" + "".join(f"#{_span(span)};" for span in words) + "]"


def _span(span: Span) -> str:
    literal = _literal(unbroken(span.text))
    if span.style in ("good", "bad", "open", "absent"):
        words = f'verdict("{span.style}", {literal})'
    else:
        words = f"{FUNCTIONS.get(span.style, 'text')}({literal})"
    return f"link(label({_literal(span.link)}), {words})" if span.link else words


def _literal(words: str) -> str:
    """A typst string: two letters have a meaning in it, and a line break may not stand in it."""
    escaped = one_line(words).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
