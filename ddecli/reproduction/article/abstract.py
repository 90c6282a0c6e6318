"""What the article says first: what it is about, and every result in a sentence, as far as its interval goes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ddecli.document.blocks import Block, Span, paragraph, strong
from ddecli.reproduction.article.findings import Findings
from ddecli.reproduction.article.limits import is_tiny
from ddecli.reproduction.article.words import count, signed, verdict, with_bounds
from ddecli.reproduction.claims.scores import TABLES
from ddecli.reproduction.claims.verdicts import NOT_REPRODUCED, REPRODUCED, UNDECIDED
from ddecli.reproduction.evidence import ModelEvidence
from ddecli.reproduction.side_effects import Change, SideEffects
from ddecli.stats.metrics import DIVERSITY, NAMES, PAPER_METRICS, TRUTH
from ddecli.tables import paper
from ddecli.tables.notes import and_list

MAX_METHODS = 6
"""Of so many methods each is spoken of by itself; of more, each metric."""
WHAT_CHANGES = {TRUTH: "The hidden utility of images", DIVERSITY: "Diversity within prompts"}
MAX_DIFFERENCES = 6
"""So many differences that are shown are named; of more only their number is."""


def abstract(findings: Findings) -> Iterator[Block]:
    """What was tested or compared, what came of it, and what that is about."""
    if findings.measured:
        yield paragraph(_claims(findings), "lead")
    words: list[str] = []
    for name, model in findings.evidence.models.items():
        words += _of_model(findings, name, model)
    words += [*_verdicts(findings), *_drawn_world(findings)]
    if findings.cautions:
        words.append(f"For {count(len(findings.cautions), 'caution')} on these results see Limits.")
    yield paragraph(" ".join(words), "lead")
    yield paragraph(
        [
            Span(
                "Every sentence with a result was generated from measured numbers by the rules of this report. It "
                "speaks of the models, trainings, prompts and machine named below, and of no others.",
                "emphasis",
            )
        ]
    )


def _claims(findings: Findings) -> list[str | Span]:
    stand = [
        f"{name} for the paper's {model.paper}"
        for name, model in findings.evidence.models.items()
        if model.paper
    ]
    words: list[str | Span] = [
        "Denoised Distribution Estimation (DDE) aligns diffusion models with preference pairs and is said to "
        "give credit to the middle of the denoising trajectory. This report tests "
        f"{count(len(findings.measured), 'claim')} of its paper by measurement, with {and_list(stand)}.",
    ]
    for word in (REPRODUCED, NOT_REPRODUCED, UNDECIDED):
        number = findings.counts[word]
        words += [" ", strong(str(number)), " is " if number == 1 else " are ", verdict(word), "."]
    return words


def _of_model(findings: Findings, name: str, model: ModelEvidence) -> Iterator[str]:
    """DDE beside the base and its rivals where the model stands for one of the paper's, else every method."""
    effects = {each.row: each for each in findings.effects[name]}
    dde = effects.get(model.row_of("dde"))
    if model.paper and findings.measured:
        if dde:
            yield from _effect(model, dde, dde.scorers)
            yield from _papers_gains(model, dde)
            yield from _rivals(findings, model)
            yield from _truth_and_diversity(dde)
        return
    if len(model.methods) > MAX_METHODS:
        yield from _by_metric(model, [effects[method] for method in model.methods])
    else:
        for method in model.methods:
            yield from _effect(model, effects[method], effects[method].scorers)
            yield from _truth_and_diversity(effects[method])
    yield from _differences(findings, name, model)


def _by_metric(model: ModelEvidence, effects: Sequence[SideEffects]) -> Iterator[str]:
    """Of many methods, a sentence or two a metric: with which of them it rises and falls."""
    numbers = sorted({len(model.scores[each.row]) for each in effects})
    trainings = " to ".join(dict.fromkeys((str(numbers[0]), count(numbers[-1], "training"))))
    if len(numbers) == 1:
        trainings = count(numbers[0], "training")
    scorers = list(dict.fromkeys(metric for each in effects for metric in each.scorers))
    yield f"{count(len(effects), 'method')} stand beside {model.name}, each with {trainings}."
    for metric in (*scorers, TRUTH, DIVERSITY):
        having = [each for each in effects if metric in each.changes]
        rise, fall = (
            [each.label for each in having if getattr(each.changes[metric], does)]
            for does in ("rises", "falls")
        )
        name = WHAT_CHANGES.get(metric, NAMES.get(metric, metric))
        for labels, does in ((rise, "rises"), (fall, "falls")):
            if labels:
                yield f"{name} {does} with {and_list(labels)}."
        if having and not rise and not fall:
            yield f"{name} is not shown to change with any."
        below = [each.label for each in having if metric in scorers and each.changes[metric].below]
        if below:
            yield f"Some trainings of {and_list(below)} fall below {model.name} in it."


def _effect(model: ModelEvidence, effect: SideEffects, scorers: Sequence[str]) -> Iterator[str]:
    """Which scores rise, fall, or are not shown to change, over how many trainings and prompts."""
    if not scorers:
        return
    changes = {metric: effect.changes[metric] for metric in scorers}
    groups = {
        "rise": [metric for metric, change in changes.items() if change.rises],
        "fall": [metric for metric, change in changes.items() if change.falls],
    }
    groups["are not shown to change"] = [
        metric for metric in scorers if metric not in groups["rise"] + groups["fall"]
    ]
    said = [
        f"{and_list([_gain(metric, changes[metric]) for metric in metrics])} {_verb(does, len(metrics))}"
        for does, metrics in groups.items()
        if metrics
    ]
    trainings = count(len(model.scores[effect.row]), "training")
    prompts = count(len(next(iter(model.rows(scorers[0]).values())).values), "prompt")
    yield f"{effect.label} beside {model.name}, over {trainings} and {prompts}: {'; '.join(said)}."
    fallen = [
        f"{change.below} in {NAMES.get(metric, metric)}" for metric, change in changes.items() if change.below
    ]
    if fallen:
        yield f"Of these {trainings}, some fall below {model.name}: {and_list(fallen)}."


def _verb(does: str, number: int) -> str:
    if number > 1:
        return does
    return {"rise": "rises", "fall": "falls"}.get(does, does.replace("are", "is", 1))


def _gain(metric: str, change: Change) -> str:
    name = NAMES.get(metric, metric)
    if change.percent is None:
        return f"{name} ({with_bounds(change.difference, change.interval)})"
    return f"{name} ({signed(change.percent, 1)} %)"


def _papers_gains(model: ModelEvidence, dde: SideEffects) -> Iterator[str]:
    """The paper's own gains, where ours are of the same metrics."""
    if model.paper and all(metric in dde.changes for metric in PAPER_METRICS):
        theirs = [paper.figure(TABLES[model.paper], "dde", metric) for metric in PAPER_METRICS]
        yield f"The paper has {', '.join(theirs)} for {model.paper}."


def _rivals(findings: Findings, model: ModelEvidence) -> Iterator[str]:
    """How DDE's comparisons with the other methods came out."""
    for each in findings.judged:
        found = each.outcome.comparisons
        if each.claim.key == f"dde-surpasses-{str(model.paper).lower()}" and found:
            answers = [comparison.answer for comparison in found]
            yield (
                f"Of {count(len(found), 'comparison')} of DDE with the paper's baselines, DDE is above in "
                f"{answers.count('holds')} and below in {answers.count('fails')}; {answers.count('open')} stay open."
            )


def _truth_and_diversity(effect: SideEffects) -> Iterator[str]:
    truth, diversity = effect.changes.get(TRUTH), effect.changes.get(DIVERSITY)
    if truth:
        does = "rises" if truth.rises else "falls" if truth.falls else "is not shown to change"
        yield f"The hidden utility of its images {does}."
    if diversity and (diversity.rises or diversity.falls):
        size = f" by {signed(diversity.percent, 0)} %" if diversity.percent is not None else ""
        yield f"Their diversity within prompts changes{size}."


def _differences(findings: Findings, name: str, model: ModelEvidence) -> Iterator[str]:
    """Which differences between methods are shown, in every metric that all have."""
    between = [each for each in findings.side_by_side[name].differences if each.second != model.name]
    every = [(each, metric, contrast) for each in between for metric, contrast in each.estimates.items()]
    if not every:
        return
    shown = [
        f"{each.first} − {each.second} in {NAMES.get(metric, metric)} "
        f"({with_bounds(contrast.value, contrast.interval)})"
        for each, metric, contrast in every
        if contrast.shown
    ]
    named = f": {and_list(shown)}" if 0 < len(shown) <= MAX_DIFFERENCES else ""
    verb = "are" if len(shown) > 1 else "is"
    yield (
        f"Of {count(len(every), 'difference')} between methods of {model.name}, {len(shown) or 'none'} {verb} told "
        f"from 0 after correction for the differences in a column{named}."
    )


def _verdicts(findings: Findings) -> Iterator[str]:
    failed = [each.claim.title for each in findings.judged if each.outcome.verdict == NOT_REPRODUCED]
    if failed:
        yield f"Not reproduced: {'; '.join(failed)}."


def _drawn_world(findings: Findings) -> Iterator[str]:
    """That pictures were drawn shapes, where they were; of which models, where it is not all of them."""
    models = findings.evidence.models
    drawn = [name for name, model in models.items() if is_tiny(model)]
    if not drawn:
        return
    what = "All this" if len(drawn) == len(models) else f"What is said of {and_list(drawn)}"
    end = "is no test of the paper's own numbers" if findings.measured else "says nothing of other models"
    yield (
        f"{what} was measured in a world of drawn shapes, with models and trainings far smaller than real ones: it "
        f"tells what the methods do there, and {end}."
    )
