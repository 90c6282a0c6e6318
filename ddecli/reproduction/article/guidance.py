"""Whether gains and the order of methods stay at another guidance scale: a paragraph and a small table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ddecli.document.blocks import Block, Span, Words, grid, paragraph, strong
from ddecli.reproduction.article.words import count, percent, with_bounds
from ddecli.reproduction.guidance import AtBoth, SecondGuidance
from ddecli.stats.intervals import corrected_level
from ddecli.stats.metrics import NAMES
from ddecli.tables.notes import and_list
from ddecli.tables.render import NOTHING


def guidance(name: str, found: SecondGuidance) -> Iterator[Block]:
    """What stays; nothing is compared where both scales are one."""
    if found.first == found.second:
        yield paragraph(f"{name}: the second guidance scale is that of the tables, {_scale(found.second)}.")
        return
    yield paragraph(f"{name}: {guidance_words(found)}")
    if found.gains:
        yield _table(name, found)


def guidance_words(found: SecondGuidance) -> str:
    """What of the gains and of the order of methods stays at the second guidance scale."""
    first, second = _scale(found.first), _scale(found.second)
    images = f"{found.images:g} {'image' if found.images == 1 else 'images'}"
    trainings = count(found.trainings, "training")
    words = (
        f"base and methods were sampled a second time, at guidance {second} beside {first}: "
        f"{count(found.prompts, 'prompt')} with {images}, {trainings} a method, the same at both."
    )
    shown = [each for each in found.gains if each.first.shown]
    kept = [each for each in shown if each.second.shown and each.same_side]
    turned = [each for each in shown if each.second.shown and not each.same_side]
    words += (
        f" Of {count(len(shown), 'difference')} to the base shown at guidance {first}, {len(kept)} "
        f"{'is' if len(kept) == 1 else 'are'} shown at {second} as well, "
        f"{len(shown) - len(kept) - len(turned)} not shown there, and {_named(turned)} shown on the other side."
    )
    if found.pairs:
        same = sum(each.same_side for each in found.pairs)
        other = [each for each in found.pairs if not each.same_side and each.second.shown]
        words += (
            f" Of {count(len(found.pairs), 'pair')} of methods, one a metric, {same} "
            f"{'stands' if same == 1 else 'stand'} in the same order at both"
        )
        others = f"; of the others, {_named(other)} shown to stand the other way at guidance {second}"
        words += "." if same == len(found.pairs) else f"{others}."
    return words


def _named(found: Sequence[AtBoth]) -> str:
    names = [
        f"{each.first_row} − {each.second_row} in {NAMES.get(each.metric, each.metric)}" for each in found
    ]
    return f"{len(found)} ({and_list(names)})" if found else "none"


def _scale(scale: float | None) -> str:
    return "of unknown scale" if scale is None else f"{scale:g}"


def _table(name: str, found: SecondGuidance) -> Block:
    metrics = list(dict.fromkeys(each.metric for each in found.gains))
    methods = list(dict.fromkeys(each.first_row for each in found.gains))
    by = {(each.first_row, each.metric): each for each in found.gains}
    rows: list[list[Words]] = []
    for method in methods:
        for scale, at in ((found.first, "first"), (found.second, "second")):
            gains = [
                getattr(by[method, metric], at) if (method, metric) in by else None for metric in metrics
            ]
            cells = [NOTHING if each is None else with_bounds(each.value, each.interval) for each in gains]
            rows.append([method, _scale(scale), *cells])
    caption: list[str | Span] = [
        strong(f"Gains at two guidance scales, {name}."),
        f" Differences to the base model at the same scale, with {percent(corrected_level(len(methods)))} intervals, "
        f"corrected for {count(len(methods), 'method')}. Of one training an interval speaks of that training.",
    ]
    return grid(["Method", "guidance", *(NAMES.get(metric, metric) for metric in metrics)], rows, caption)
