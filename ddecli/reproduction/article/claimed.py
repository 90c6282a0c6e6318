"""The claims: at a glance, and one by one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

from ddecli.document.blocks import (
    Block,
    Grid,
    Span,
    Words,
    bullets,
    grid,
    heading,
    paragraph,
    strong,
)
from ddecli.reproduction.article.findings import Findings
from ddecli.reproduction.article.words import (
    bounds,
    capital,
    decimals,
    percent,
    plain,
    plus_minus,
    signed,
    verdict,
)
from ddecli.reproduction.claims.verdicts import UNDECIDED, ClaimComparison, Outcome
from ddecli.reproduction.papers.dde import NOT_TESTED, Judged
from ddecli.tables.notes import and_list
from ddecli.tables.render import NOTHING


def at_a_glance(findings: Findings) -> Grid:
    """A row a claim that was measured."""
    rows: list[list[Words]] = []
    for number, each in findings.measured:
        outcome = each.outcome
        answers = [comparison.answer for comparison in outcome.comparisons]
        tally = [str(answers.count(answer)) for answer in ("holds", "fails", "open")]
        title = Span(each.claim.title, link=each.claim.key)
        rows.append([str(number), title, each.claim.section, verdict(outcome.verdict), *tally])
    header = ["", "Claim", "Paper", "Verdict", "holds", "fails", "open"]
    caption: list[str | Span] = [
        strong(
            "All claims."
            if len(findings.measured) == len(findings.judged)
            else "All claims that were measured."
        ),
        " The numbers count the comparisons that each rests on. In the tables below, ± is the standard deviation from "
        "training to training, and “below” counts the trainings (or pairs of them) under the bound.",
    ]
    return grid(header, rows, caption, words=(0, 1, 2, 3))


def one_by_one(findings: Findings) -> Iterator[Block]:
    """A section a claim, then what was not measured, and what cannot be tested."""
    for number, each in findings.measured:
        yield from _claim(number, each)
    missing = defaultdict(list)
    for number, each in enumerate(findings.judged, start=1):
        if each.outcome.missing:
            missing[each.outcome.missing].append(str(number))
    if missing:
        yield heading(3, "Not measured")
        yield bullets([f"{capital(reason)}: {_claims(numbers)}." for reason, numbers in missing.items()])
    yield heading(3, "Not tested")
    yield bullets(NOT_TESTED)


def _claims(numbers: Sequence[str]) -> str:
    return f"{'claim' if len(numbers) == 1 else 'claims'} {and_list(numbers)} of the paper"


def _claim(number: int, judged: Judged) -> Iterator[Block]:
    claim, outcome = judged.claim, judged.outcome
    yield heading(3, [f"{number}. {claim.title}: ", verdict(outcome.verdict)], claim.key)
    yield paragraph(f"“{claim.quote}” (section {claim.section})", "quote")
    tested: list[str | Span] = [strong("Tested:"), f" {claim.rule.text}"]
    yield paragraph([*tested, f" {claim.note}"] if claim.note else tested)
    if outcome.comparisons:
        yield comparisons(outcome)
    yield paragraph(
        [
            replace(verdict(outcome.verdict), text=capital(outcome.verdict)),
            _reason(outcome),
            *(f" {each}" for each in outcome.remarks),
        ]
    )


def comparisons(outcome: Outcome) -> Grid:
    """A row a comparison: ± is the standard deviation from training to training, "below" how many of them, or of pairs
    of them, lie below the claimed bound; gains and the paper's figures where there are any."""
    found = outcome.comparisons
    gains = any(each.gain_percent is not None for each in found)
    papers = any(each.paper for each in found)
    header = [
        "Compared",
        "In",
        "Estimate",
        f"{percent(found[0].level)} interval",
        "claimed",
        "",
    ]
    counted = any(each.trainings for each in found)
    header += ["below"] * counted
    header += ["gain %"] * gains + ["paper"] * papers
    words = {0, 1, 4, 5}
    rows: list[list[Words]] = []
    for each in found:
        row: list[Words] = [each.label, each.quantity, *_numbers(each), verdict(each.answer)]
        if counted:
            row.append(f"{each.below} of {each.trainings}" if each.trainings else NOTHING)
        if gains:
            row.append(NOTHING if each.gain_percent is None else signed(each.gain_percent, 1))
        if papers:
            row.append(each.paper or NOTHING)
        rows.append(row)
    return grid(header, rows, words=words)


def _numbers(each: ClaimComparison) -> tuple[str, str, str]:
    places = decimals(each.estimate, each.interval)
    write = plain if each.bound else signed  # differences have a sign, ratios and shares have none
    side = ">" if each.above else "<"
    bound = plain(each.bound, places if each.bound % 0.5 else 1 if each.bound % 1 else 0)
    return (
        write(each.estimate, places) + plus_minus(each.spread, places),
        bounds(each.interval, places),
        f"{side} {bound}",
    )


def _reason(outcome: Outcome) -> str:
    """Why the verdict is what it is."""
    answers = [each.answer for each in outcome.comparisons]
    total, holds, fails = len(answers), answers.count("holds"), answers.count("fails")
    if total == 1:
        side = {"holds": "the claimed side", "fails": "the other side"}.get(answers[0])
        words = f": the interval lies on {side}." if side else f": {_open_reason(outcome)}."
    else:
        words = (
            f": {total} comparisons, of which {holds} hold, {fails} fail, {total - holds - fails} stay open."
        )
        if outcome.verdict == UNDECIDED:
            words += f" {capital(_open_reason(outcome))}."
    return words


def _open_reason(outcome: Outcome) -> str:
    """How large a difference could have gone unseen."""
    opened = [each for each in outcome.comparisons if each.answer == "open"]
    if any(each.interval is None for each in opened):
        return "there is no interval, for there is one training, or one prompt, only"
    reach = []
    for each in opened:
        assert each.interval is not None
        half = (each.interval.high - each.interval.low) / 2
        size = plain(half, decimals(half, each.interval))
        is_score = each.gain_percent is not None and each.base is not None and each.base > 0
        relative = f", {100 * half / each.base:.2g} % of {each.base:.4g}" if is_score and each.base else ""
        reach.append(
            (half / (abs(each.base) if each.base else 1), f"{size}{relative} ({each.label}, {each.quantity})")
        )
    if not all(each.refutable for each in opened):
        return "the trainings are too short to refute it"
    widest = max(reach)[1]
    return f"the {'widest open ' if len(opened) > 1 else ''}interval reaches {widest} to either side"
