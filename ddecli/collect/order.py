"""What is asked next, and what stands on the left: functions of a seed, so that a page opened again goes on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

from ddecli.collect.pairs import AskedPair
from ddecli.core.seeds import seed_of
from ddecli.data.votes import Tally

Order = Literal["random", "informative"]
Places = Mapping[str, int]
"""A voter's place of each pair in a random order, by the pair's id."""


def places(pairs: Sequence[AskedPair], seed: int, voter: str) -> dict[str, int]:
    """An order of the pairs for one voter, drawn at random by seed and name."""
    return {pair.id: seed_of(seed, "order", voter, pair.id) for pair in pairs}


def first_is_left(pair: AskedPair, seed: int, voter: str) -> bool:
    """Whether the pair's first picture stands on the left for a voter: drawn at random, even odds."""
    return seed_of(seed, "side", voter, pair.id) % 2 == 0


def asked_next(
    pairs: Sequence[AskedPair],
    order: Order,
    places: Places,
    done: Collection[str],
    counted: Mapping[str, Tally],
) -> AskedPair | None:
    """The pair that a voter is asked next, None if none is left.

    `random` goes by the voter's places alone. `informative` begins with pairs that nobody voted on, first those of the
    prompts that have the fewest votes; then come those whose votes are most evenly split, and of these those with the
    fewest votes. What is equal goes by places.

    Args:
        done: ids of the pairs that are not to be asked.
        counted: the votes of all voters, by the pair's id.
    """
    left = [pair for pair in pairs if pair.id not in done]
    if order == "random":
        return min(left, key=lambda pair: places[pair.id], default=None)
    of_prompt: Counter[str] = Counter()
    for tally in counted.values():
        of_prompt[tally.prompt] += len(tally.votes)

    def rank(pair: AskedPair) -> tuple[float, ...]:
        tally = counted.get(pair.id)
        if tally is None:
            return 0, of_prompt[pair.prompt], 0, places[pair.id]
        votes = len(tally.votes)
        return 1, abs(tally.shares[0] / votes - 0.5), votes, places[pair.id]

    return min(left, key=rank, default=None)
