"""What votes say: of the voters, how far they agree and whether they favour a side; of the folders, which one won."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

from ddecli.data.votes import BOTH_BAD, LEFT, RIGHT, TIE, Tally, Vote, tallies

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Share:
    """`count` of `total`, with a 95 % interval (Wilson's) that takes each for independent; None of nothing."""

    count: int
    total: int
    low: float | None
    high: float | None

    @property
    def excludes_half(self) -> bool:
        """Whether the interval lies on one side of 1/2."""
        return self.low is not None and self.high is not None and not self.low <= 0.5 <= self.high


@dataclass(frozen=True)
class VoterSummary:
    """One voter's votes. `position` is how often the left picture was preferred where one was."""

    voter: str
    votes: int
    ties: int
    both_bad: int
    position: Share
    median_seconds: float | None


@dataclass(frozen=True)
class FolderWins:
    """Pairs of pictures of two folders: how many each won by majority, and how many neither did."""

    first: str
    second: str
    first_won: int
    second_won: int
    undecided: int


@dataclass(frozen=True)
class VotesSummary:
    """A votes folder in numbers.

    Attributes:
        pairs: that were voted on.
        decided: pairs with a preferred picture, which `prepare` takes; the others are ties.
        unanimous: of those with several votes, pairs on which all prefer the same picture.
        position: how often the left picture was preferred where one was, of all voters.
        agreement: two voters on one pair, both of whom preferred a picture: how often it was the same.
        alpha: Krippendorff's alpha of all votes on pairs with several; 1 is full agreement, 0 is chance. None where no
            pair has several, or all votes are the same.
    """

    out: str
    pairs: int
    decided: int
    votes: int
    several: int
    unanimous: int
    position: Share
    agreement: Share
    alpha: float | None
    voters: tuple[VoterSummary, ...]
    folders: tuple[FolderWins, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def summary_of(out: str, votes: Sequence[Vote]) -> VotesSummary:
    """Sum up the votes that stand."""
    counted = tallies(votes)
    several = [tally for tally in counted if len(tally.votes) > 1]
    return VotesSummary(
        out,
        pairs=len(counted),
        decided=sum(tally.wins[0] != tally.wins[1] for tally in counted),
        votes=len(votes),
        several=len(several),
        unanimous=sum(len(tally.votes) in tally.wins for tally in several),
        position=_position(votes),
        agreement=_agreement(several),
        alpha=krippendorff_alpha([[vote.preferred or "" for vote in tally.votes] for tally in several]),
        voters=tuple(_voter(name, votes) for name in sorted({vote.voter for vote in votes})),
        folders=tuple(_folders(counted)),
    )


def krippendorff_alpha(units: Sequence[Sequence[str]]) -> float | None:
    """Krippendorff's alpha for nominal values (Content Analysis, 2004, chapter 11).

    With the coincidences `o(c, k)`, in which a unit of `m` values counts every ordered pair of them 1 / (m - 1) times,
    and `n_c` the sum of a row of them,

        alpha = 1 - (n - 1) sum_{c != k} o(c, k) / sum_{c != k} n_c n_k.

    Args:
        units: the values given to each unit, by whoever gave one; units with fewer than two are passed over.

    Returns:
        None where there is nothing to disagree about: no such unit, or one value alone.
    """
    per_value: Counter[str] = Counter()
    disagreed = 0.0
    for values in units:
        if len(values) < 2:
            continue
        counts = Counter(values)
        per_value.update(counts)
        differing = len(values) ** 2 - sum(count**2 for count in counts.values())
        disagreed += differing / (len(values) - 1)
    total = per_value.total()
    expected = total**2 - sum(count**2 for count in per_value.values())
    return 1 - (total - 1) * disagreed / expected if expected else None


def share(count: int, total: int) -> Share:
    """A share with its interval."""
    if not total:
        return Share(0, 0, None, None)
    from scipy.stats import binomtest

    interval = binomtest(count, total).proportion_ci(CONFIDENCE, "wilson")
    return Share(count, total, float(interval.low), float(interval.high))


def _position(votes: Sequence[Vote]) -> Share:
    sides = Counter(vote.choice for vote in votes)
    return share(sides[LEFT], sides[LEFT] + sides[RIGHT])


def _agreement(several: Sequence[Tally]) -> Share:
    same = total = 0
    for tally in several:
        preferred = [vote.preferred for vote in tally.votes if vote.preferred]
        both = list(combinations(preferred, 2))
        total += len(both)
        same += sum(one == other for one, other in both)
    return share(same, total)


def _voter(name: str, votes: Sequence[Vote]) -> VoterSummary:
    own = [vote for vote in votes if vote.voter == name]
    choices = Counter(vote.choice for vote in own)
    paces = [vote.seconds for vote in own if vote.seconds is not None]
    pace = statistics.median(paces) if paces else None
    return VoterSummary(name, len(own), choices[TIE], choices[BOTH_BAD], _position(own), pace)


def _folders(counted: Sequence[Tally]) -> list[FolderWins]:
    """Wins of every two folders, in the order of their names; pairs within one folder say nothing of it."""
    won: dict[tuple[str, str], Counter[str]] = {}
    for tally in counted:
        one, other = sorted(tally.sources)
        if one == other:
            continue
        first, second = tally.wins
        winner = "" if first == second else tally.sources[first < second]
        won.setdefault((one, other), Counter())[winner] += 1
    return [
        FolderWins(one, other, wins[one], wins[other], wins[""]) for (one, other), wins in sorted(won.items())
    ]
