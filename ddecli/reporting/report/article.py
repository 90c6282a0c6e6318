"""The article: its sections in order, and the abstract."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ddecli.reporting import paper, render
from ddecli.reporting.claims.scores import TABLES
from ddecli.reporting.claims.verdicts import NOT_MEASURED, NOT_REPRODUCED, REPRODUCED, UNDECIDED
from ddecli.reporting.evidence import ModelEvidence
from ddecli.reporting.metrics import DIVERSITY, NAMES, PAPER_METRICS, TRUTH
from ddecli.reporting.notes import and_list
from ddecli.reporting.report.beyond import beyond
from ddecli.reporting.report.claimed import at_a_glance, one_by_one
from ddecli.reporting.report.document import (
    Block,
    Document,
    Figure,
    Span,
    block_grid,
    bullets,
    heading,
    paragraph,
    strong,
    text,
)
from ddecli.reporting.report.findings import Findings
from ddecli.reporting.report.limits import is_tiny, limits, rules
from ddecli.reporting.report.setup import protocol_facts, provenance, setup
from ddecli.reporting.report.words import count, signed, verdict

CAPTIONS = {
    "segments": "Mean scores after uniform training on parts of the trajectory, beside the base model and training on "
    "all timesteps (the paper's Fig. 3). Error bars: 95 % intervals of the difference to the base.",
    "beat-ratios": "Share of image pairs, same prompt and noise, in which a method scores higher than the base model, "
    "ties half (Fig. 5). Error bars: 95 % intervals.",
    "coefficients": "Weights of the losses by timestep, of the model's noise schedule (section 3.4).",
    "corrections": "Correction terms C(t) after training by timestep, and over training at four places (section 4.4).",
    "log-sigmoid": "The loss, its gradient and its saturation, with the logits of the trainings (section 3.4).",
    "credit": "Mean gradient weight of a visit by timestep, and the share of the total weight in three parts of the "
    "trajectory.",
    "curves": "Loss, implicit accuracy, margin and gradient norm over training.",
    "images": "Images of the same prompts and noise side by side; nobody selected the prompts.",
}
"""What is shown, by the name of the figure; used where the experiment gives no caption."""


def article(findings: Findings) -> Document:
    """The whole article."""
    sections = {
        "What was run": setup(findings),
        "How claims are judged": rules(findings),
        "Tables": _tables(findings),
        "Figures": _figures(findings),
        "The claims one by one": one_by_one(findings),
        "What the paper does not report": beyond(findings),
        "Limits": limits(findings),
        "Provenance": provenance(findings),
    }
    blocks: list[Block] = [
        heading(1, findings.experiment.title),
        *_abstract(findings),
        at_a_glance(findings),
        *protocol_facts(),
    ]
    number = 0
    for title, section in sections.items():
        content = list(section)
        if content:
            number += 1
            blocks += [heading(2, f"{number}. {title}"), *content]
    return Document(findings.experiment.title, tuple(blocks))


def _abstract(findings: Findings) -> Iterator[Block]:
    counts, models = findings.counts, findings.evidence.models.values()
    stand = and_list([f"{model.name} for the paper's {model.paper}" for model in models])
    decided: list[str | Span] = [
        "Denoised Distribution Estimation (DDE) aligns diffusion models with preference pairs and is said to "
        "give credit to the middle of the denoising trajectory. This report tests "
        f"{count(len(findings.judged), 'claim')} of its paper by measurement, with {stand}. Of these ",
    ]
    for number, word in enumerate((REPRODUCED, NOT_REPRODUCED, UNDECIDED, NOT_MEASURED)):
        decided += [", " if number else "", strong(str(counts[word])), " ", verdict(word)]
    yield paragraph([*decided, "."], "lead")
    words = []
    for model in models:
        words += [*_gains(model), *_rivals(findings, model), *_effects(findings, model)]
    failed = [each.claim.title for each in findings.judged if each.outcome.verdict == NOT_REPRODUCED]
    if failed:
        words.append(f"Not reproduced: {'; '.join(failed)}.")
    if findings.frail:
        words.append(
            f"{len(findings.frail)} of the {counts[REPRODUCED] + counts[NOT_REPRODUCED]} decided claims "
            "would stay undecided if the spread between trainings were estimated strictly."
        )
    if findings.cautions:
        words.append(f"For {count(len(findings.cautions), 'caution')} on these results see Limits.")
    if any(is_tiny(model) for model in models):
        words.append(
            "All this was measured in a world of drawn shapes, with models and trainings far smaller than "
            "the paper's: it tells what the method does there, and is no test of the paper's own numbers."
        )
    yield paragraph(" ".join(words), "lead")
    yield paragraph(
        [
            Span(
                "Every sentence with a result was generated from measured numbers by the rules of this report.",
                "emphasis",
            )
        ]
    )


def _gains(model: ModelEvidence) -> Iterator[str]:
    """DDE's gains beside the paper's."""
    if model.lacks(["base", "dde"], PAPER_METRICS):
        return
    ours, theirs = [], []
    for metric in PAPER_METRICS:
        base = model.rows(metric)["base"].mean
        if base > 0:
            ours.append(
                f"{signed(100 * (model.rows(metric)['dde'].mean / base - 1), 1)} % in {NAMES[metric]}"
            )
        theirs.append(paper.figure(TABLES[model.paper], "dde", metric))
    if ours:
        yield (
            f"DDE changes the mean scores of {model.name} by {and_list(ours)} (the paper, {model.paper}: "
            f"{', '.join(theirs)})."
        )


def _rivals(findings: Findings, model: ModelEvidence) -> Iterator[str]:
    """How DDE's comparisons with the other methods came out."""
    for each in findings.judged:
        found = each.outcome.comparisons
        if each.claim.key == f"dde-surpasses-{model.paper.lower()}" and found:
            answers = [comparison.answer for comparison in found]
            yield (
                f"Of {count(len(found), 'comparison')} of DDE with the paper's baselines, DDE is above in "
                f"{answers.count('holds')} and below in {answers.count('fails')}; {answers.count('open')} stay open."
            )


def _effects(findings: Findings, model: ModelEvidence) -> Iterator[str]:
    dde = next((each for each in findings.effects[model.name] if each.row == "dde"), None)
    if dde is None:
        return
    truth, diversity = dde.changes.get(TRUTH), dde.changes.get(DIVERSITY)
    if truth:
        does = "rises" if truth.rises else "falls" if truth.falls else "is not shown to change"
        yield f"The hidden utility of its images {does} with DDE."
    if diversity and diversity.percent is not None and (diversity.rises or diversity.falls):
        yield f"Their diversity within prompts changes by {signed(diversity.percent, 0)} %."


def _tables(findings: Findings) -> Iterator[Block]:
    for table in findings.tables.values():
        for block in render.blocks(table):
            yield block_grid(block)
        yield bullets(table.notes, small=True)


def _figures(findings: Findings) -> Iterator[Block]:
    for number, picture in enumerate(findings.experiment.figures, start=1):
        caption = picture.caption or _default_caption(picture.file)
        yield Figure(
            picture.file,
            text([strong(f"Figure {number}. {picture.title}."), f" {caption}" if caption else ""]),
        )


def _default_caption(file: Path) -> str:
    known = [name for name in CAPTIONS if file.stem == name or file.stem.startswith(f"{name}-")]
    return CAPTIONS[max(known, key=len)] if known else ""
