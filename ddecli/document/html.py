"""The article as one HTML file: pictures inside, no scripts, readable on a phone and on paper."""

from __future__ import annotations

import base64
import mimetypes
from functools import partial, singledispatch
from html import escape
from pathlib import Path

from ddecli.core.text import printable
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

TAGS = {"strong": "strong", "emphasis": "em", "code": "code"}
CSS = """
:root { --ink: #1d232b; --faint: #5d6875; --line: #d9dee4; --paper: #fff; --tint: #f5f7f9;
  --good: #1b7a43; --bad: #b3312b; --open: #96690a; --absent: #66707b; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2.5rem 1.25rem 5rem; max-width: 50rem; color: var(--ink); background: var(--paper);
  font: 1rem/1.6 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
a { color: inherit; text-decoration-color: var(--line); text-underline-offset: .2em; }
a:hover { text-decoration-color: currentcolor; }
nav { margin: 0 0 1.3rem; font-size: .92rem; }
nav ul { margin: 0; padding: 0; list-style: none; columns: 2; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 1.5rem; }
h2 { font-size: 1.35rem; margin: 3rem 0 .75rem; padding-bottom: .3rem; border-bottom: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin: 2.2rem 0 .5rem; }
p { margin: 0 0 .9rem; }
.lead { font-size: 1.06rem; }
blockquote { margin: 0 0 .9rem; padding: .1rem 0 .1rem 1rem; border-left: 3px solid var(--line);
  color: var(--faint); font-style: italic; }
.caution { padding: .6rem .9rem; background: #fdf6e7; border-left: 3px solid var(--open); }
code { font: .88em ui-monospace, Menlo, Consolas, monospace; background: var(--tint); padding: .05em .3em;
  border-radius: 3px; }
.notes { font-size: .82rem; color: var(--faint); overflow-wrap: anywhere; }
.scroll { overflow-x: auto; }
figure.table { margin: 0 0 1.3rem; break-inside: auto; }
.table figcaption { color: inherit; margin: 0 0 .4rem; }
table { border-collapse: collapse; font-size: .82rem; line-height: 1.4; font-variant-numeric: tabular-nums; }
th, td { padding: .28rem .8rem .28rem 0; text-align: right; vertical-align: top; border-bottom: 1px solid var(--line); }
th { border-bottom: 1.5px solid var(--ink); font-weight: 600; vertical-align: bottom; }
td { white-space: nowrap; }
.w { text-align: left; } td.w { white-space: normal; } td.w + td.w { min-width: 6rem; }
td .verdict { white-space: nowrap; }
tbody tr:last-child td { border-bottom: 1.5px solid var(--ink); }
figure { margin: 1.5rem 0; break-inside: avoid; }
img { max-width: 100%; height: auto; display: block; margin: 0 auto; }
figcaption { font-size: .84rem; color: var(--faint); margin-top: .5rem; }
.verdict { font-weight: 700; font-size: .92em; }
.good { color: var(--good); } .bad { color: var(--bad); }
.open { color: var(--open); } .absent { color: var(--absent); }
@media (max-width: 40rem) { nav ul { columns: 1; } }
@media print { body { max-width: none; padding: 0; font-size: 10pt; }
  h2, h3 { break-after: avoid; } tr { break-inside: avoid; } }
"""


def to_html(document: Document, folder: Path) -> str:
    """The whole article.

    Args:
        folder: that the pictures' paths are relative to.
    """
    body = "\n".join(map(partial(_block, document=document, folder=folder), document.blocks))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(printable(document.title))}</title>\n<style>{CSS}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


@singledispatch
def _block(block: Block, document: Document, folder: Path) -> str:
    raise TypeError(type(block).__name__)


@_block.register
def _(block: Heading, document: Document, folder: Path) -> str:
    mark = f' id="{escape(block.mark)}"' if block.mark else ""
    return f"<h{block.level}{mark}>{_text(block.text)}</h{block.level}>"


@_block.register
def _(block: Paragraph, document: Document, folder: Path) -> str:
    if block.kind == "quote":
        return f"<blockquote><p>{_text(block.text)}</p></blockquote>"
    if block.kind == "caution":
        return f'<p class="caution"><strong>Caution.</strong> {_text(block.text)}</p>'
    return (
        f'<p class="lead">{_text(block.text)}</p>' if block.kind == "lead" else f"<p>{_text(block.text)}</p>"
    )


@_block.register
def _(block: Bullets, document: Document, folder: Path) -> str:
    kind = ' class="notes"' if block.small else ""
    return f"<ul{kind}>\n" + "\n".join(f"<li>{_text(point)}</li>" for point in block.points) + "\n</ul>"


@_block.register
def _(block: Grid, document: Document, folder: Path) -> str:
    caption = f"<figcaption>{_text(block.caption)}</figcaption>\n" if block.caption else ""
    head = "".join(_cell("th", name, column in block.words) for column, name in enumerate(block.header))
    rows = "\n".join(
        f"<tr>{''.join(_cell('td', cell, column in block.words) for column, cell in enumerate(row))}</tr>"
        for row in block.rows
    )
    return (
        f'<figure class="table">{caption}<div class="scroll"><table>\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{rows}\n</tbody></table></div></figure>"
    )


@_block.register
def _(block: Figure, document: Document, folder: Path) -> str:
    kind = mimetypes.guess_type(block.file.name)[0] or "image/png"
    data = base64.b64encode((folder / block.file).read_bytes()).decode()
    plain = escape(printable("".join(span.text for span in block.caption)))
    return (
        f'<figure><img src="data:{kind};base64,{data}" alt="{plain}">'
        f"<figcaption>{_text(block.caption)}</figcaption></figure>"
    )


@_block.register
def _(block: Contents, document: Document, folder: Path) -> str:
    points = "\n".join(
        f'<li><a href="#{escape(section.mark)}">{_text(section.text)}</a></li>'
        for section in document.sections
    )
    return f"<nav>\n<ul>\n{points}\n</ul>\n</nav>"


def _cell(tag: str, words: Text, left: bool) -> str:
    kind = ' class="w"' if left else ""
    return f"<{tag}{kind}>{_text(words)}</{tag}>"


def _text(words: Text) -> str:
    return "".join(_span(span) for span in words)


def _span(span: Span) -> str:
    words = escape(unbroken(printable(span.text)))
    if span.style in TAGS:
        words = f"<{TAGS[span.style]}>{words}</{TAGS[span.style]}>"
    elif span.style:
        words = f'<span class="verdict {span.style}">{words}</span>'
    return f'<a href="#{escape(span.link)}">{words}</a>' if span.link else words
