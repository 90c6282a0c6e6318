"""Rules on scores: one method above, below, or not below another, and beat ratios."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ddecli.reproduction.claims.rule import Rule, no_model, single_trainings
from ddecli.reproduction.claims.verdicts import ClaimComparison, Outcome, compared
from ddecli.reproduction.evidence import LABELS, Evidence, ModelEvidence
from ddecli.reproduction.experiment import BASE
from ddecli.stats.intervals import corrected_level, estimate
from ddecli.stats.metrics import NAMES, PAPER_METRICS
from ddecli.stats.rows import difference
from ddecli.tables import paper
from ddecli.tables.notes import and_list

MARGIN = 0.1
"""Margin of "at or above", in standard deviations of the base over prompts: a tenth of a standard deviation."""
TABLES = {"SD15": 2, "SDXL": 3}
"""The paper's table that a model's scores stand in."""

Relation = Literal["above", "below", "at or above"]


@dataclass(frozen=True)
class ScoresCompare(Rule):
    """Scores of the first row of every pair lie above, below, or at or above those of the second.

    Attributes:
        paper: SD15 or SDXL.
        pairs: rows: `base`, methods, segments.
        needed: how many comparisons must hold; None for all.
    """

    paper: str
    pairs: tuple[tuple[str, str], ...]
    metrics: tuple[str, ...] = PAPER_METRICS
    relation: Relation = "above"
    needed: int | None = None

    @property
    def text(self) -> str:
        rows = list(dict.fromkeys(first for first, _ in self.pairs))
        against = list(dict.fromkeys(second for _, second in self.pairs))
        names = and_list([NAMES[metric] for metric in self.metrics])
        relation = {
            "above": "above that of",
            "below": "below that of",
            "at or above": f"no more than {MARGIN:g} standard deviations (of the base model, over prompts) "
            "below that of",
        }[self.relation]
        each = "each of " if len(against) > 1 else ""
        text = f"The mean score of {_rows(rows)} in {names} lies {relation} {each}{_rows(against)}"
        if self.needed is not None:
            text += f", in at least {self.needed} of {len(self.pairs) * len(self.metrics)} comparisons"
        return text + "."

    def judge(self, evidence: Evidence) -> Outcome:
        model = evidence.of(self.paper)
        if model is None:
            return Outcome(missing=no_model(self.paper))
        rows = [model.row_of(part) for pair in self.pairs for part in pair]
        lacks = model.lacks([BASE, *rows], self.metrics)
        if lacks:
            return Outcome(missing=lacks)
        shown = max(model.rows_beside(model.row_of(first)) for first, _ in self.pairs)
        level = corrected_level(max(len(self.pairs) * len(self.metrics), shown))
        comparisons = [
            self._compare(model, first, second, metric, level)
            for metric in self.metrics
            for first, second in self.pairs
        ]
        return Outcome(tuple(comparisons), needed=self.needed, remarks=_remarks(model, rows))

    def _compare(
        self, model: ModelEvidence, first: str, second: str, metric: str, level: float
    ) -> ClaimComparison:
        rows = model.rows(metric)
        ours, theirs = model.row_of(first), model.row_of(second)
        a, b, base = rows[ours], rows[theirs], rows[BASE]
        number = TABLES[self.paper]
        stated = second == BASE and metric in paper.metrics(number)
        found = difference(a, b)
        return compared(
            f"{model.label(ours)} − {model.label(theirs)}",
            NAMES[metric],
            found,
            level,
            -margin(model, metric) if self.relation == "at or above" else 0.0,
            above=self.relation != "below",
            base=b.mean,
            gain_percent=100 * found.value / base.mean if base.mean > 0 else None,
            paper=paper.figure(number, first, metric) if stated else "",
        )


@dataclass(frozen=True)
class BeatRatios(Rule):
    """The beat ratio of a method over the base lies above one half, or above other methods' beat ratios.

    Attributes:
        rivals: methods whose beat ratios must be lower; empty: above one half.
    """

    paper: str
    method: str
    rivals: tuple[str, ...] = ()
    metrics: tuple[str, ...] = PAPER_METRICS

    @property
    def text(self) -> str:
        bound = f"each of those of {_rows(self.rivals)}" if self.rivals else "one half"
        return (
            f"The share of image pairs (same prompt, same noise; ties half) in which {_rows([self.method])} scores "
            f"higher than the base model, in {and_list([NAMES[m] for m in self.metrics])}, lies above {bound}."
        )

    def judge(self, evidence: Evidence) -> Outcome:
        model = evidence.of(self.paper)
        if model is None:
            return Outcome(missing=no_model(self.paper))
        method, rivals = model.row_of(self.method), [model.row_of(rival) for rival in self.rivals]
        lacks = model.lacks([BASE, method, *rivals], self.metrics)
        if lacks:
            return Outcome(missing=lacks)
        number = len(self.metrics) * max(1, len(self.rivals))
        level = corrected_level(max(number, model.rows_beside(method)))
        comparisons = []
        for metric in self.metrics:
            ratios = model.beat_ratios(metric)
            ours, quantity = ratios[method], f"beat ratio, {NAMES[metric]}"
            if not rivals:  # against one half the ratio itself is shown
                found = compared(model.label(method), quantity, estimate(ours.values), level, 0.5)
                reach = found.interval and found.interval.within(0, 1)
                comparisons.append(replace(found, interval=reach))
            for rival in rivals:
                label = f"{model.label(method)} − {model.label(rival)}"
                gained = difference(ours, ratios[rival])
                comparisons.append(compared(label, quantity, gained, level, base=ratios[rival].mean))
        return Outcome(tuple(comparisons), remarks=_remarks(model, [method, *rivals]))


def margin(model: ModelEvidence, metric: str) -> float:
    """How far below still counts as "at": a tenth of the base's standard deviation over prompts."""
    return MARGIN * float(model.rows(metric)[BASE].values.std())


def _remarks(model: ModelEvidence, rows: Sequence[str]) -> tuple[str, ...]:
    trained = {row: model.scores[row] for row in rows if row != BASE}
    return single_trainings(
        model,
        trained,
        ": the interval speaks of that one, and how results change from training to training is unknown",
    )


def _rows(rows: Sequence[str]) -> str:
    names = [
        "the base model" if row == BASE else LABELS.get(row, f"Uniform training on {row}") for row in rows
    ]
    return and_list(names)
