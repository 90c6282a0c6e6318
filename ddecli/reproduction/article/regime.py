"""Credit where logits saturate: is there a beta at which DDE favours the middle, and is it the one that is used."""

from __future__ import annotations

from collections.abc import Iterator

from ddecli.core.segments import MIDDLE
from ddecli.document.blocks import Block, Span, Words, grid, paragraph, strong
from ddecli.reproduction.article.findings import Findings
from ddecli.reproduction.claims.regime import LAST, SATURATED
from ddecli.reproduction.claims.timesteps import span
from ddecli.reproduction.regime import BetaCredit, Regime, Steps
from ddecli.stats.credit_shares import WINDOW
from ddecli.tables.notes import and_list
from ddecli.tables.render import NOTHING

RULE = (
    f"The share of credit that timesteps in {span(MIDDLE)} get is taken over the steps around each step, "
    f"{WINDOW:.0%} of all, as the mean of trainings. A β has a window if for as many steps on end, or more, the "
    "share in DDE lies above that in uniform training with the same β at the same step, or above one half. "
)
CREDIT = {
    "norm": "Credit is the norm of gradients in the weights.",
    "weight": "Credit is the gradient weight |∂L/∂D| by errors of the noise, for not every run measured norms.",
}


def regime(findings: Findings) -> Iterator[Block]:
    """The rule, what came of it in a sentence, and a table, for every model with such trainings."""
    for name, found in findings.regimes.items():
        model = findings.evidence.models[name]
        yield paragraph(RULE + CREDIT[found.by])
        yield paragraph(f"{name}, {found.steps} steps: {windows(found, model.label(model.row_of('dde')))}")
        yield _table(name, found)


def windows(found: Regime, dde: str) -> str:
    """Which beta has a window of each kind, and whether the beta of the reported trainings is one of them."""
    beside = [each for each in found.betas if each.rival is not None]
    above = [
        _kind("above that of uniform training", {each.beta: each.above_uniform for each in beside}),
        _kind("above one half", {each.beta: each.above_half for each in found.betas}),
    ]
    said = ", and ".join(above if beside else above[1:])
    return f"the share of {span(MIDDLE)} in the credit of {dde} lies {said}; {_chosen(found, dde)}."


def _kind(what: str, windows: dict[float, Steps | None]) -> str:
    shown = [f"β {beta:g} (steps {steps[0]} to {steps[1]})" for beta, steps in windows.items() if steps]
    return f"{what} with {and_list(shown)}" if shown else f"{what} with none of β {and_list(_betas(windows))}"


def _betas(windows: dict[float, Steps | None]) -> list[str]:
    return [f"{beta:g}" for beta in windows]


def _chosen(found: Regime, dde: str) -> str:
    if found.chosen is None:
        return f"no one β is that of the reported trainings of {dde}"
    chosen, each = f"β {found.chosen:g}, which the reported trainings of {dde} use", found.of_chosen
    if each is None:
        return f"{chosen}, was not among them"
    kinds = {"above uniform training": each.above_uniform, "above one half": each.above_half}
    inside = [kind for kind, steps in kinds.items() if steps]
    return f"{chosen}, has a window {and_list(inside)}" if inside else f"{chosen}, has no window"


def _table(name: str, found: Regime) -> Block:
    def row(each: BetaCredit) -> list[Words]:
        parts = [each.first, each.largest, each.last, each.rival, each.single]
        return [
            f"{each.beta:g}",
            str(each.trainings),
            *(NOTHING if share is None else f"{100 * share:.0f} %" for share in parts),
            _steps(each.above_uniform),
            _steps(each.above_half),
            f"{each.slope:.2f}",
            NOTHING if each.correction is None else f"{each.correction:.2g}",
        ]

    header: list[Words] = [
        "β",
        "trainings",
        "at the first step",
        "largest",
        "at the end",
        "uniform at the end",
        "DDE-Single at the end",
        "above uniform, steps",
        "above half, steps",
        "4 s (1 − s)",
        "β |C(t)|",
    ]
    caption: list[str | Span] = [
        strong(f"Share of {span(MIDDLE)} in the credit of DDE, {name}."),
        f" s is the sigmoid factor of a pair: the mean of 4 s (1 − s) over the last {LAST:.0%} of the steps and "
        f"the three parts of the trajectory is one before training; logits saturate in a part where it is below "
        f"{SATURATED:g}. β |C(t)|, at its largest at the end, is what the correction terms add to a logit; DDE-Single "
        "is the same loss without them.",
    ]
    return grid(header, [row(each) for each in found.betas], caption)


def _steps(steps: Steps | None) -> str:
    return f"{steps[0]}–{steps[1]}" if steps else NOTHING
