"""What votes say, against closed forms and numbers worked out by hand."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from ddecli.collect.summary import krippendorff_alpha, share, summary_of
from ddecli.data.votes import BOTH_BAD, LEFT, RIGHT, TIE, Vote


def vote(voter: str, pair: int, choice: str, turned: bool = False) -> Vote:
    sides = [(f"a{pair}", "A"), (f"b{pair}", "B")]
    (left, left_from), (right, right_from) = sides[::-1] if turned else sides
    return Vote(voter, str(pair), choice, "p", left, right, left_from, right_from, 2.0 * pair, "now")


def test_a_summary_of_few_votes() -> None:
    votes = [
        vote("ann", 1, LEFT),  # A
        vote("ann", 2, LEFT, turned=True),  # B
        vote("ann", 3, TIE),
        vote("ann", 4, RIGHT),  # B
        vote("bob", 1, RIGHT, turned=True),  # A
        vote("bob", 2, LEFT),  # A
        vote("bob", 3, BOTH_BAD),
        vote("eve", 1, TIE),
    ]
    found = summary_of("votes", votes)
    assert (found.pairs, found.votes, found.several, found.unanimous) == (4, 8, 3, 0)
    assert found.decided == 2  # pair 1 for A, pair 4 for B; 2 is divided, 3 has nobody's preference
    assert (found.position.count, found.position.total) == (3, 5)
    assert (found.agreement.count, found.agreement.total) == (1, 2)
    assert [(each.voter, each.votes, each.ties, each.both_bad) for each in found.voters] == [
        ("ann", 4, 1, 0),
        ("bob", 3, 0, 1),
        ("eve", 1, 1, 0),
    ]
    assert found.voters[0].median_seconds == 5
    (wins,) = found.folders
    assert (wins.first, wins.second, wins.first_won, wins.second_won, wins.undecided) == ("A", "B", 1, 1, 2)


def test_a_summary_of_nothing() -> None:
    found = summary_of("votes", [])
    assert found.position.low is None and found.alpha is None and not found.voters
    assert found.as_dict()["pairs"] == 0


def test_wilson_interval_by_its_formula() -> None:
    z, n, k = 1.959963984540054, 30, 24
    centre = (k + z**2 / 2) / (n + z**2)
    half = z / (n + z**2) * np.sqrt(k * (n - k) / n + z**2 / 4)
    found = share(k, n)
    assert found.low == pytest.approx(centre - half) and found.high == pytest.approx(centre + half)
    assert found.excludes_half and not share(15, 30).excludes_half and not share(0, 0).excludes_half


def slow_alpha(units: list[list[str]]) -> float:
    """By the coincidence matrix, pair by pair."""
    values = sorted({value for unit in units for value in unit})
    coincidences = np.zeros((len(values), len(values)))
    for unit in units:
        if len(unit) > 1:
            for one, other in permutations(unit, 2):
                coincidences[values.index(one), values.index(other)] += 1 / (len(unit) - 1)
    sums = coincidences.sum(axis=1)
    off = ~np.eye(len(values), dtype=bool)
    observed = coincidences[off].sum() / sums.sum()
    expected = np.outer(sums, sums)[off].sum() / (sums.sum() * (sums.sum() - 1))
    return float(1 - observed / expected)


def test_krippendorffs_alpha() -> None:
    """Of two observers and two values it is 1 - (n - 1) o / (n_0 n_1), with o units on which they differ."""
    one, two = "0100000000", "1110110000"
    units = [[first, second] for first, second in zip(one, two, strict=True)]
    assert krippendorff_alpha(units) == pytest.approx(1 - 19 * 4 / (14 * 6))
    rng = np.random.default_rng(0)
    for _ in range(20):
        drawn = [list(rng.choice(list("abc"), rng.integers(1, 5))) for _ in range(8)]
        assert krippendorff_alpha(drawn) == pytest.approx(slow_alpha(drawn))
    assert krippendorff_alpha([["a", "a"], ["b", "b"]]) == 1
    assert krippendorff_alpha([["a", "a"], ["a"], []]) is None
