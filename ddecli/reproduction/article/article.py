"""The article: its sections in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from ddecli.document.blocks import (
    Block,
    Contents,
    Document,
    Figure,
    block_grid,
    bullets,
    heading,
    strong,
    text,
)
from ddecli.reproduction.article.abstract import abstract
from ddecli.reproduction.article.beyond import beyond
from ddecli.reproduction.article.claimed import at_a_glance, one_by_one
from ddecli.reproduction.article.findings import Findings
from ddecli.reproduction.article.limits import limits, rules
from ddecli.reproduction.article.regime import regime
from ddecli.reproduction.article.setup import made, protocol_facts, provenance, setup
from ddecli.reproduction.claims.scores import TABLES
from ddecli.tables import render

CAPTIONS = {
    "segments": (
        "Mean scores after uniform training on parts of the trajectory, beside the base model and training on all "
        "timesteps. Error bars: 95 % intervals of the difference to the base; small dots: single trainings.",
        "Fig. 3",
    ),
    "beat-ratios": (
        "Share of image pairs, same prompt and noise, in which a method scores higher than the base model, ties half. "
        "Error bars: 95 % intervals; small dots: single trainings.",
        "Fig. 5",
    ),
    "coefficients": ("Weights of the losses by timestep, of the model's noise schedule.", "section 3.4"),
    "corrections": (
        "Correction terms C(t) after training by timestep, and over training at four places.",
        "section 4.4",
    ),
    "log-sigmoid": (
        "The loss, its gradient and its saturation, with the logits of the trainings.",
        "section 3.4",
    ),
    "credit": (
        "Mean gradient weight |∂L/∂D| of a visit by timestep, by errors of the noise, and the share of the total in "
        "three parts of the trajectory; beside it, where it was measured, that of the norm of gradients in the "
        "weights, which has no unit of an error.",
        "",
    ),
    "credit-steps": (
        "Share of credit in three parts of the trajectory over training, and the sigmoid factor, one half where "
        "nothing is learned.",
        "",
    ),
    "curves": ("Loss, implicit accuracy, margin and gradient norm over training.", ""),
    "images": ("Images of the same prompts and noise side by side; nobody selected the prompts.", ""),
}
"""What is shown, by the name of the figure, and the paper's own place; used where the experiment gives no caption."""

MOST_ROWS = 60
"""A table of the differences of a dozen methods has more, and few of them tell something."""


def article(findings: Findings) -> Document:
    """The whole article."""
    judged, changes = bool(findings.measured), findings.experiment.changes
    sections: dict[str, Iterable[Block]] = {
        "What was run": setup(findings),
        "How claims are judged" if judged else "How intervals are formed": rules(findings),
        "What has changed": [bullets(changes)] if changes else [],
        "Tables": _tables(findings),
        "Figures": _figures(findings),
        "The claims one by one": one_by_one(findings) if judged else [],
        "Credit where logits saturate": regime(findings),
        "What the paper does not report" if judged else "Beside the scorers": beyond(findings),
        "Limits": limits(findings),
        "Provenance": provenance(findings),
    }
    blocks: list[Block] = [heading(1, findings.experiment.title), *made(findings), *abstract(findings)]
    if judged:
        blocks.append(at_a_glance(findings))
    if judged or findings.tables:
        blocks += protocol_facts()
    blocks.append(Contents())
    number = 0
    for title, section in sections.items():
        content = list(section)
        if content:
            number += 1
            blocks += [heading(2, f"{number}. {title}", title.lower().replace(" ", "-")), *content]
    return Document(findings.experiment.title, tuple(blocks))


def _tables(findings: Findings) -> Iterator[Block]:
    """The paper's tables, then of each model what they do not hold: its methods side by side, and their differences."""
    for table in findings.tables.values():
        for block in render.blocks(table):
            yield block_grid(block)
        yield bullets(table.notes, small=True)
    for name, table in findings.side_by_side.items():
        paper = findings.evidence.models[name].paper
        in_papers = paper is not None and TABLES[paper] in findings.tables
        blocks = render.blocks(table)
        for block in blocks[2:] if in_papers else blocks:
            block = _told_apart(block)
            yield block_grid(replace(block, title=f"{name}: {block.title[0].lower()}{block.title[1:]}"))
        if not in_papers or table.differences:
            yield bullets(table.notes[-1:] if in_papers else table.notes, small=True)


def _told_apart(block: render.Block) -> render.Block:
    """Of a long table, the rows that tell something: those with a bold number."""
    if len(block.rows) <= MOST_ROWS:
        return block
    told = sorted({row for row, _ in block.bold})
    places = {row: place for place, row in enumerate(told)}
    return replace(
        block,
        title=f"{block.title}; {len(told)} of {len(block.rows)} rows, those with a bold number (the CSV has all)",
        rows=[block.rows[row] for row in told],
        bold=frozenset((places[row], column) for row, column in block.bold),
    )


def _figures(findings: Findings) -> Iterator[Block]:
    for number, picture in enumerate(findings.experiment.figures, start=1):
        caption = picture.caption or _default_caption(picture.file, bool(findings.measured))
        yield Figure(
            picture.file,
            text([strong(f"Figure {number}. {picture.title}."), f" {caption}" if caption else ""]),
        )


def _default_caption(file: Path, with_place: bool) -> str:
    known = [name for name in CAPTIONS if file.stem == name or file.stem.startswith(f"{name}-")]
    if not known:
        return ""
    words, place = CAPTIONS[max(known, key=len)]
    return f"{words} In the paper: {place}." if place and with_place else words
