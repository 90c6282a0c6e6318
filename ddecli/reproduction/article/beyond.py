"""Truth and diversity beside the scorers, and every part of the trajectory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ddecli.document.blocks import Block, Span, Words, grid, paragraph, strong
from ddecli.reproduction.article.findings import Findings
from ddecli.reproduction.article.guidance import guidance
from ddecli.reproduction.article.words import below, bounds, count, decimals, percent, plus_minus, signed
from ddecli.reproduction.evidence import SEGMENT_LOSS, ModelEvidence
from ddecli.reproduction.side_effects import SideEffects
from ddecli.stats.intervals import CONFIDENCE, corrected_level
from ddecli.stats.metrics import ATTRIBUTES, DIVERSITY, NAMES, TRUTH
from ddecli.tables.notes import and_list
from ddecli.tables.render import NOTHING
from ddecli.tinyworld.measured import read_references

TRAININGS = "± is the standard deviation over trainings; “below” counts those that lie below the base model."


def beyond(findings: Findings) -> Iterator[Block]:
    """Truth and diversity, and the segments in every metric."""
    for name, effects in findings.effects.items():
        model = findings.evidence.models[name]
        methods = [each for each in effects if each.row not in model.segments]
        segments = [each for each in effects if each.row in model.segments]
        if any({TRUTH, DIVERSITY} & set(each.changes) for each in methods):
            yield paragraph(effect_words(name, methods))
            yield _effects(name, methods)
        if methods and ATTRIBUTES in methods[0].changes:
            yield attributes_table(name, model, methods)
        if segments:
            full = model.row_of(SEGMENT_LOSS)
            yield _segments(name, [*(each for each in methods if each.row == full), *segments], full)
        if name in findings.guidances:
            yield from guidance(name, findings.guidances[name])


def attributes_table(name: str, model: ModelEvidence, methods: Sequence[SideEffects]) -> Block:
    """Share of images that show what their prompts say, attribute by attribute, between chance and what can be read."""
    parts = [metric for metric in model.base.metrics if metric.startswith(f"{ATTRIBUTES}.")]
    shown = [*parts, ATTRIBUTES]
    references = read_references()
    rows = [
        ["chance", *(_share(references["chance"].get(_attribute(metric))) for metric in shown)],
        ["Base", *(_share(float(model.base.metric(metric).prompt_means().mean())) for metric in shown)],
        *(
            [
                each.label,
                *(_share(each.changes[metric].mean if metric in each.changes else None) for metric in shown),
            ]
            for each in methods
        ),
        ["what can be read", *(_share(references["right"].get(_attribute(metric))) for metric in shown)],
    ]
    caption: list[str | Span] = [
        strong(f"What images show of their prompts, {name}."),
        " Share of images of which the world's judge reads each attribute, and all, as the prompt says; chance is a "
        "picture of another caption, the last row what it reads in drawn scenes that are right.",
    ]
    return grid(["", *(_attribute(metric) for metric in shown)], rows, caption)


def _attribute(metric: str) -> str:
    return metric.removeprefix(f"{ATTRIBUTES}.") if metric != ATTRIBUTES else "all"


def _share(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.2f}"


def effect_words(name: str, effects: Sequence[SideEffects]) -> Words:
    """The findings on truth and diversity in sentences."""
    words: list[str | Span] = [f"{name}: "]
    judged = [each for each in effects if TRUTH in each.changes]
    if judged:
        up = [each.label for each in judged if each.changes[TRUTH].rises]
        down = [each.label for each in judged if each.changes[TRUTH].falls]
        words.append(
            f"the hidden utility rises with {len(up)} of {count(len(judged), 'method')} ({and_list(up)}) and "
            f"falls with {and_list(down)}. "
        )
    for kind in ("falls", "not shown to rise"):
        fooled = [each for each in judged if each.fooled == kind]
        for each in fooled:
            risen = and_list([NAMES.get(metric, metric) for metric in each.risen])
            words += [Span("Scorer fooled?", "bad"), f" {each.label}: {risen} up, truth {kind}. "]
    varied = [each for each in effects if DIVERSITY in each.changes]
    if varied:
        less = [each for each in varied if each.changes[DIVERSITY].falls]
        more = [each for each in varied if each.changes[DIVERSITY].rises]
        words.append(f"Diversity within prompts falls with {len(less)} of {count(len(varied), 'method')}")
        losses = [each.changes[DIVERSITY].percent for each in less]
        known = [loss for loss in losses if loss is not None]
        words.append(f", by {-max(known):.0f} to {-min(known):.0f} %" if known else "")
        words.append(f", and rises with {and_list([each.label for each in more])}." if more else ".")
    return words


def _effects(name: str, effects: Sequence[SideEffects]) -> Block:
    with_truth = any(TRUTH in each.changes for each in effects)
    rows = [
        [
            each.label,
            ", ".join(NAMES.get(metric, metric) for metric in each.risen) or "none",
            *([_change(each, TRUTH)] if with_truth else []),
            _change(each, DIVERSITY),
            _percent(each, DIVERSITY),
        ]
        for each in effects
    ]
    header = ["Method", "scorers that rise", *(["truth"] if with_truth else []), "diversity", "diversity %"]
    caption: list[str | Span] = [
        strong(f"{'Truth and diversity' if with_truth else 'Diversity'}, {name}."),
        f" Differences to the base model with {percent(CONFIDENCE)} intervals, each of one comparison; what is said to "
        f"rise or fall does so by intervals of {percent(corrected_level(len(effects)))}, corrected for "
        f"{count(len(effects), 'row')}. {TRAININGS}",
    ]
    return grid(header, rows, caption, words=(0, 1))


def _segments(name: str, effects: Sequence[SideEffects], full: str) -> Block:
    shown = [metric for metric in NAMES if any(metric in each.changes for each in effects)]
    rows = [
        ["all" if each.row == full else each.label, *(_change(each, metric) for metric in shown)]
        for each in effects
    ]
    caption: list[str | Span] = [
        strong(f"Parts of the trajectory, {name}."),
        " Uniform training on parts of the trajectory (0 is the clean image), differences to the base model with "
        f"{percent(CONFIDENCE)} intervals, each of one comparison. {TRAININGS}",
    ]
    return grid(["Part", *(NAMES[metric] for metric in shown)], rows, caption)


def _change(each: SideEffects, metric: str) -> str:
    change = each.changes.get(metric)
    if change is None:
        return NOTHING
    places = decimals(change.difference, change.interval)
    reach = f" {bounds(change.interval, places)}" if change.interval else ""
    return (
        signed(change.difference, places)
        + plus_minus(change.spread, places)
        + reach
        + below(change.below, change.trainings)
    )


def _percent(each: SideEffects, metric: str) -> str:
    change = each.changes.get(metric)
    return NOTHING if change is None or change.percent is None else signed(change.percent, 1)
