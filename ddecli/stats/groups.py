"""Scores by the kinds of prompts that a list tells apart, such as the categories of PartiPrompts."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ddecli.core.ledger import note
from ddecli.core.prompt_rows import PROMPT_ROWS, Groups, groups_of, load_prompt_rows
from ddecli.core.prompts import PromptRow
from ddecli.core.scores import MetricScores, ScoreSet


@dataclass(frozen=True)
class Kind:
    """The prompts of one kind: what is divided by (`style`), what this kind is called there (`photo`), their ids."""

    division: str
    name: str
    prompts: frozenset[str]


def kinds_beside(folders: Iterable[str | Path]) -> list[Kind]:
    """The kinds that the prompts of some folders of one protocol fall into, in the order of their list.

    Raises:
        UserError: the list is damaged.
    """
    for folder in map(Path, folders):
        if rows := load_prompt_rows(folder):
            note(folder / PROMPT_ROWS)
            return kinds_of(rows)
    return []


def kinds_of(rows: Iterable[PromptRow]) -> list[Kind]:
    """The kinds that the prompts of a list fall into, in its order."""
    return list(_kinds(groups_of(rows)))


def _kinds(groups: Groups) -> Iterator[Kind]:
    for division, found in groups.items():
        if len(found) > 1:  # one kind is the whole
            yield from (Kind(division, name, frozenset(ids)) for name, ids in found.items())


def of_prompts(scores: ScoreSet, prompts: Collection[str]) -> ScoreSet:
    """The scores of some prompts alone; a metric that none of them has is left out."""
    ids = np.array(sorted(prompts), dtype=str)
    metrics = {}
    for name, values in scores.metrics.items():
        chosen = np.isin(values.prompt_id, ids)
        if chosen.any():
            metrics[name] = MetricScores(
                values.prompt_id[chosen], values.image_index[chosen], values.score[chosen]
            )
    return replace(scores, metrics=metrics)


def sampled_kinds(kinds: Iterable[Kind], scores: ScoreSet) -> Iterator[tuple[Kind, ScoreSet]]:
    """Those kinds of which there are scores, which need not be of the whole list, each with its own."""
    for kind in kinds:
        own = of_prompts(scores, kind.prompts)
        if own.metrics:
            yield kind, own
