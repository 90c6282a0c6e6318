"""What is asked next, and what stands on the left."""

from __future__ import annotations

from pathlib import Path

from ddecli.collect.order import asked_next, first_is_left, places
from ddecli.collect.pairs import AskedPair, Picture
from ddecli.data.votes import LEFT, RIGHT, TIE, Tally, Vote, tallies


def pair(number: int, prompt: str = "a fox") -> AskedPair:
    sides = tuple(Picture(Path(f"{side}/{number}.png"), f"{side}{number}", side) for side in "ab")
    return AskedPair(f"{number:012d}", prompt, sides)  # type: ignore[arg-type]


def counted(*cast: tuple[int, str]) -> dict[str, Tally]:
    """Votes on pairs, each by another voter."""
    lines = [
        Vote(f"voter {n}", f"{number:012d}", choice, "a fox", f"a{number}", f"b{number}", "a", "b", None, "")
        for n, (number, choice) in enumerate(cast)
    ]
    return {tally.pair: tally for tally in tallies(lines)}


def walk(pairs: list[AskedPair], seed: int, voter: str) -> list[str]:
    """A voter's whole way through the pairs."""
    order = places(pairs, seed, voter)
    done: list[str] = []
    while (found := asked_next(pairs, "random", order, done, {})) is not None:
        done.append(found.id)
    return done


def test_the_random_order_is_a_function_of_seed_and_voter_and_asks_all() -> None:
    pairs = [pair(number) for number in range(30)]
    way = walk(pairs, 0, "ann")
    assert sorted(way) == [each.id for each in pairs]
    assert way == walk(pairs[::-1], 0, "ann")
    assert len({tuple(walk(pairs, seed, voter)) for seed in (0, 1) for voter in ("ann", "bob")}) == 4


def test_the_place_in_the_order_does_not_depend_on_the_other_pairs() -> None:
    pairs = [pair(number) for number in range(30)]
    some = [each.id for each in pairs[::3]]
    assert [each for each in walk(pairs, 0, "ann") if each in some] == walk(pairs[::3], 0, "ann")


def test_sides_are_even_and_differ_between_voters() -> None:
    """Of 2,000 fair draws the share of one side lies in 0.5 +- 0.045 but for one run in 17,000; the seed is fixed."""
    pairs = [pair(number) for number in range(2000)]
    ann, bob = ([first_is_left(each, 0, voter) for each in pairs] for voter in ("ann", "bob"))
    assert abs(sum(ann) / 2000 - 0.5) < 0.045
    assert abs(sum(one == other for one, other in zip(ann, bob, strict=True)) / 2000 - 0.5) < 0.045
    assert ann == [first_is_left(each, 0, "ann") for each in pairs]
    assert ann != [first_is_left(each, 1, "ann") for each in pairs]


def test_the_informative_order() -> None:
    """Nobody's, of the prompt with the fewest votes; then divided votes; then few votes."""
    pairs = [*(pair(number) for number in range(4)), pair(4, "a cat"), pair(5)]
    votes = counted(
        (0, LEFT), (0, LEFT), (1, LEFT), (1, RIGHT), (2, LEFT), (3, LEFT), (3, RIGHT), (3, TIE), (3, TIE)
    )
    order = places(pairs, 0, "zoe")
    done: set[str] = set()
    way = []
    while (found := asked_next(pairs, "informative", order, done, votes)) is not None:
        done.add(found.id)
        way.append(int(found.id))
    assert way == [4, 5, 1, 3, 2, 0]
