"""What was run: models, trainings, protocol, and how settings were chosen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ddecli.document.blocks import Block, Grid, Span, Words, bullets, code, grid, paragraph, strong
from ddecli.objectives.registry import has_beta
from ddecli.reproduction.article.findings import Findings
from ddecli.reproduction.article.words import capital, count, duration, signed
from ddecli.reproduction.evidence import ModelEvidence, TrainedRun
from ddecli.stats.metrics import NAMES, is_part
from ddecli.tables import paper
from ddecli.tables.notes import and_list, card_text, protocol_note
from ddecli.tables.render import NOTHING
from ddecli.tuning.choose import Choice

LAST_STEPS = 0.1
"""Share of the steps that the implicit accuracy at the end is a mean over."""


def setup(findings: Findings) -> Iterator[Block]:
    """A paragraph and a table of trainings a model, then the choice of settings."""
    for model in findings.evidence.models.values():
        yield paragraph(_model(model))
        cards = [
            f"{NAMES.get(metric, metric)}: {card_text(model.base.scorers.get(metric, {}))}"
            for metric in model.base.metrics
            if not is_part(metric)
        ]
        yield bullets([protocol_note(model.base.protocol), f"Scorers: {'; '.join(cards)}."], small=True)
        if model.runs:
            yield trainings(model)
    for name, choice in findings.grids.items():
        yield from _grid(name, choice, findings.evidence.models[name])


def _model(model: ModelEvidence) -> Words:
    sources = sorted({str(run.settings.get("model")) for given in model.runs.values() for run in given})
    started: list[str | Span] = []
    if sources and sources != [model.name]:
        listed = [word for source in sources for word in (", ", code(source))][1:]
        started = [" (trained from ", *listed, ")"]
    rows = [f"{model.label(row)} ({len(model.scores[row])})" for row in [*model.methods, *model.segments]]
    stands = (
        f" stands for the paper's {model.paper}. Scored beside it" if model.paper else ": scored beside it"
    )
    return [
        code(model.name),
        *started,
        f"{stands}, with the number of trainings: {', '.join(rows) or 'nothing'}.",
    ]


def trainings(model: ModelEvidence) -> Grid:
    """A row a method: its settings, its training seeds, and what the training came to."""
    rows = []
    with_loss = any(model.losses.get(method) != method for method in model.runs)
    for method, given in model.runs.items():
        settings = [run.settings for run in given]
        accuracies = [accuracy for accuracy in map(final_accuracy, given) if accuracy is not None]
        seconds = [float(run.performance["seconds"]) for run in given if "seconds" in run.performance]
        rows.append(
            [
                model.label(method),
                *([_distinct(settings, "loss")] if with_loss else []),
                _distinct(settings, "beta") if has_beta(settings[0].get("loss")) else NOTHING,
                _distinct(settings, "lr"),
                _distinct(settings, "steps"),
                _distinct(settings, "batch_size"),
                _distinct(settings, "seed"),
                f"{100 * np.mean(accuracies):.0f} %" if accuracies else NOTHING,
                duration(sum(seconds)) if seconds else NOTHING,
            ]
        )
    loss_column = ["loss"] if with_loss else []
    header = [
        "Method",
        *loss_column,
        "β",
        "learning rate",
        "steps",
        "batch",
        "seeds",
        "accuracy at the end",
        "time",
    ]
    caption: list[str | Span] = [
        strong(f"Trainings of {model.name}."),
        " Accuracy: share of training pairs in which the trained model, against its reference, prefers the "
        f"preferred image, over the last {100 * LAST_STEPS:.0f} % of the steps. Time: of all seeds together, without "
        "what self-play draws.",
    ]
    return grid(header, rows, caption, words=range(1 + with_loss))


def final_accuracy(run: TrainedRun) -> float | None:
    """Mean implicit accuracy over the last steps; None where the loss compares no pairs."""
    values = run.metrics.values.get("implicit_accuracy")
    if values is None or not len(values):
        return None
    last = values[-max(1, round(LAST_STEPS * len(values))) :]
    return None if np.isnan(last).any() else float(last.mean())


def _grid(name: str, choice: Choice, model: ModelEvidence) -> Iterator[Block]:
    budget = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in choice.budget.items())
    prompts = choice.protocol.get("num_prompts")
    where = f"on {prompts} prompts" if prompts else "on other prompts"
    if choice.protocol.get("prompt_set"):
        where += f" ({choice.protocol['prompt_set']})"
    yield paragraph(
        f"β and learning rate of {name} were chosen by {count(len(choice.trials), 'trial run')} {where}, "
        f"each with {budget or 'one budget'}: of every loss the trial with the largest gain, among those "
        "with the most trainings. The gain is the mean over scorers of the difference to the base in its "
        "standard deviations over prompts."
    )
    rows = []
    for loss, best in sorted(choice.best().items()):
        mine = [trial for trial in choice.trials if trial.loss == loss]
        equals = [trial for trial in mine if len(trial.seeds) == len(best.seeds) and trial is not best]
        rivals = sorted((trial.gain for trial in equals), reverse=True)
        rows.append(
            [
                model.label(model.row_of(loss)),
                _tried(sorted({trial.beta for trial in mine if trial.beta is not None})),
                _tried(sorted({trial.lr for trial in mine})),
                NOTHING if best.beta is None else f"{best.beta:g}",
                f"{best.lr:g}",
                str(len(best.seeds)),
                signed(best.gain, 3),
                signed(rivals[0], 3) if rivals else NOTHING,
            ]
        )
    header = [
        "Loss",
        "β tried",
        "learning rates tried",
        "β",
        "learning rate",
        "trainings",
        "gain",
        "second best",
    ]
    yield grid(header, rows, strong(f"Best trial of each loss, {name}."), words=(0, 1, 2))


def made(findings: Findings) -> Iterator[Block]:
    """When the trainings ended, and the version that made them; of runs that noted neither, nothing."""
    performances = [
        run.performance
        for model in findings.evidence.models.values()
        for given in model.runs.values()
        for run in given
        if run.performance
    ]
    versions = sorted({str(each["versions"]["ddecli"]) for each in performances if "versions" in each})
    dates = sorted({str(each["date"]) for each in performances if "date" in each})
    words = [f"Made with ddecli {and_list(versions)}"] if versions else []
    if dates:
        words.append(f"trainings of {dates[0]}" + (f" to {dates[-1]}" if dates[1:] else ""))
    if words:
        yield paragraph([Span(f"{capital(', '.join(words))}.", "emphasis")])


def protocol_facts() -> Iterator[Block]:
    """Where the numbers beside ours come from."""
    yield paragraph(
        f"The paper is “{paper.title()}”. Its text is at hand with the numbers inside its tables and "
        f"formulas lost; what the text does not state is printed as “{paper.NOT_AVAILABLE}”, and no number "
        "is filled in from elsewhere."
    )


def provenance(findings: Findings) -> Iterator[Block]:
    """Versions, machines, times and seeds."""
    runs = [
        run for model in findings.evidence.models.values() for given in model.runs.values() for run in given
    ]
    performances = [run.performance for run in runs if run.performance]
    points: list[Words] = [
        f"Experiment: {findings.experiment.name}.",
    ]
    seconds = [float(each["seconds"]) for each in performances if "seconds" in each]
    if seconds:
        points.append(
            f"Training took {duration(sum(seconds))} in all, over {count(len(seconds), 'run')} (segments, trainings "
            "until logits saturate, sampling and scoring not counted)."
        )
    for line in dict.fromkeys(_line(each.get("versions", {})) for each in performances):
        points.append(f"Versions: {line}.")
    for line in dict.fromkeys(_line(each.get("machine", {})) for each in performances):
        points.append(f"Machine of the trainings: {line}.")
    devices = sorted({str(each["device"]) for each in performances if "device" in each})
    if devices:
        points.append(f"Device: {and_list(devices)}.")
    for model in findings.evidence.models.values():
        digest = model.base.protocol.get("model")
        if isinstance(digest, dict) and digest.get("unet_sha256"):
            points.append(f"U-Net of {model.name}: SHA-256 {str(digest['unet_sha256'])[:12]}….")
    yield bullets(points)


def _line(values: dict[str, object]) -> str:
    return (
        ", ".join(f"{name} {value}" for name, value in values.items() if value is not None) or "not recorded"
    )


def _distinct(settings: Sequence[dict[str, object]], name: str) -> str:
    values = list(dict.fromkeys(each.get(name) for each in settings))
    return ", ".join(f"{value:g}" if isinstance(value, int | float) else str(value) for value in values)


def _tried(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values) or NOTHING
