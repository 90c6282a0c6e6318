"""Pictures and scores of a finished run in its model card, as the Hugging Face hub shows them.

The card that training wrote stays as it is, changes by hand among it, but for the sections "Samples" and "Scores" and
what its header says of them: a gallery (`widget`) and scores (`model-index`).
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard

from ddecli.core.errors import UserError, first_sentence
from ddecli.core.files import atomic_folder, write_text
from ddecli.core.paths import readable_file
from ddecli.core.protocol import is_sample, sampled_model
from ddecli.core.scores import SCORES_PARQUET, ScoreSet, load_scores
from ddecli.core.text import markdown
from ddecli.scoring.sources import ImageSet, ScoredImage, read_source
from ddecli.stats.compare import MetricComparison, Summary, compare, summarize
from ddecli.stats.intervals import Interval
from ddecli.stats.metrics import NAMES, is_part

CARD, GALLERY = "README.md", "gallery"
SHOWN = 6
"""Prompts of which a picture is shown."""
SAMPLES, SCORES, BEFORE = "## Samples", "## Scores", "## Training"
"""Headings: of what is written here, and the one that it stands before."""


@dataclass(frozen=True)
class CardSummary:
    """What went into a card: its file, pictures in the gallery, and metrics."""

    card: str
    pictures: int
    metrics: list[str]


def show_in_card(run: Path, images: Path, against: Path | None = None) -> CardSummary:
    """Put pictures of a sample, and its scores if there are any, into the card of the run that drew it.

    Args:
        run: folder of a finished run.
        images: sample of it.
        against: scored sample of another model, such as its base, of the same prompts and settings.

    Raises:
        UserError: no finished run, a damaged card, images of another model, scores of other images, or samples that
            cannot be compared.
    """
    model, card = run / "model", _card(run)
    source = _sample_of(run, images)
    shown = _first_of_each_prompt(source.images)[:SHOWN]
    scored = against is not None or (images / SCORES_PARQUET).is_file()
    scores = _scores_of(source, images) if scored else None
    other = None if against is None else load_scores(against)
    compared = compare(scores, other) if scores and other else []
    summaries = [each for each in summarize(scores) if not is_part(each.metric)] if scores else []

    card.data["widget"] = [
        {"text": image.prompt, "output": {"url": f"{GALLERY}/{image.path.name}"}} for image in shown
    ]
    text = _with_section(card.text, SAMPLES, f"{_how(source)}\n\n<Gallery />")
    by_metric = {each.metric: each for each in compared}
    about: Any = card.data
    about.model_name = run.resolve().name if summaries else None
    about.eval_results = [
        _result(each, by_metric.get(each.metric), source, other) for each in summaries
    ] or None
    text = _with_section(text, SCORES, _table(summaries, by_metric, other) if summaries else "")
    with atomic_folder(model / GALLERY) as folder:
        for image in shown:
            shutil.copyfile(image.path, folder / image.path.name)
    write_text(model / CARD, f"---\n{card.data.to_yaml()}\n---\n{text}")
    return CardSummary(str(model / CARD), len(shown), [each.metric for each in summaries])


def _card(run: Path) -> ModelCard:
    file = run / "model" / CARD
    if not (run / "run.yaml").is_file() or not (run / "model").is_dir():
        raise UserError(
            f"{run} is no finished run of ddecli train: its folder model/ and run.yaml are not there."
        )
    content = readable_file(file)
    try:
        return ModelCard(content.read_text(encoding="utf-8"))
    except Exception as error:  # no UTF-8, and whatever a YAML parser or the hub's client says of a header
        raise UserError(f"{file} cannot be read as a model card: {first_sentence(error)}") from error


def _sample_of(run: Path, images: Path) -> ImageSet:
    if not is_sample(images):
        raise UserError(f"{images} is no folder of ddecli sample: sample the run first.")
    source = read_source([images])
    drawn_by = sampled_model(source.protocol or {})
    if drawn_by is None or Path(drawn_by).resolve() != run.resolve():
        raise UserError(f"{images} holds images of {drawn_by}, not of {run}: give a sample of the run.")
    return source


def _scores_of(source: ImageSet, images: Path) -> ScoreSet:
    scores = load_scores(images)
    if scores.images_sha256 not in (None, source.images_sha256):
        raise UserError(f"{images} holds other images than those that were scored: score them again.")
    return scores


def _first_of_each_prompt(images: Sequence[ScoredImage]) -> list[ScoredImage]:
    first: dict[str, ScoredImage] = {}
    for image in images:
        first.setdefault(image.prompt, image)
    return list(first.values())


def _how(source: ImageSet) -> str:
    """How the pictures were made, in a sentence."""
    protocol = source.protocol or {}
    return (
        f"The first image of each of the first prompts of {markdown(_prompt_set(protocol))}, chosen by nobody: "
        f"{markdown(str(protocol.get('sampler')))}, {protocol.get('steps')} steps, guidance "
        f"{protocol.get('guidance_scale')}, seed {protocol.get('seed')}."
    )


def _prompt_set(protocol: dict[str, Any]) -> str:
    return Path(str(protocol.get("prompt_set"))).name


def _result(
    summary: Summary, compared: MetricComparison | None, source: ImageSet, other: ScoreSet | None
) -> EvalResult:
    """A score as the hub's `model-index` has it."""
    prompts = _prompt_set(source.protocol or {})
    about: dict[str, Any] = {"prompts": summary.prompts, "images": summary.images}
    if summary.interval is not None:
        about["confidence_interval_95"] = list(summary.interval)
    if compared is not None and other is not None:
        about |= {"against": _name(other), "difference": compared.difference}
        if compared.difference_interval is not None:
            about["difference_confidence_interval_95"] = list(compared.difference_interval)
    return EvalResult(
        task_type="text-to-image",
        dataset_type=prompts,
        dataset_name=f"prompts of {prompts}",
        metric_type=summary.metric,
        metric_name=NAMES.get(summary.metric, summary.metric),
        metric_value=summary.mean,
        metric_args=about,
    )


def _table(
    summaries: Sequence[Summary], compared: dict[str, MetricComparison], other: ScoreSet | None
) -> str:
    against = ["against", "difference", "beat ratio"] if other else []
    lines = [f"| {' | '.join(['metric', 'mean', *against])} |", "| --- " * (2 + len(against)) + "|"]
    for each in summaries:
        cells = [NAMES.get(each.metric, each.metric), _with(each.mean, each.interval)]
        found = compared.get(each.metric)
        if other:
            cells += (
                ["", "", ""]
                if found is None
                else [
                    f"{found.mean_b:.4g}",
                    _with(found.difference, found.difference_interval),
                    _with(found.beat_ratio, found.beat_interval),
                ]
            )
        lines.append(f"| {' | '.join(cells)} |")
    first = summaries[0]
    lines += [
        "",
        f"Means over {first.prompts} prompts, {first.images} images"
        + (f", against {markdown(_name(other))} on the same prompts and noise" if other else "")
        + ". In brackets Student's 95 % intervals over prompts: they speak of this one training.",
    ]
    return "\n".join(lines)


def _name(other: ScoreSet) -> str:
    return Path(sampled_model(other.protocol) or other.name).name


def _with(value: float, interval: Interval | None) -> str:
    return f"{value:.4g}" + (f" ({interval.low:.4g} .. {interval.high:.4g})" if interval else "")


def _with_section(text: str, heading: str, content: str) -> str:
    """A card's text with a section in the place of an earlier one, else before the training's, else at the end.

    Without content the earlier one is taken out.
    """
    section = f"{heading}\n\n{content}\n\n" if content else ""
    earlier = re.compile(rf"^{re.escape(heading)}\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
    if earlier.search(text):
        return earlier.sub(lambda _: section, text, count=1)
    before = re.search(rf"^{re.escape(BEFORE)}\n", text, re.MULTILINE)
    if before or not section:
        return text if before is None else text[: before.start()] + section + text[before.start() :]
    return f"{text.rstrip()}\n\n{section.rstrip()}\n"
