"""Folders of pictures to vote on, and what asks for the votes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pair_data import png

from ddecli.collect.ballot import Ballot
from ddecli.collect.order import Order
from ddecli.collect.pairs import pairs_of
from ddecli.collect.votes_file import open_votes

PROMPTS = ("a fox", "a fox", "a cat", "a dog")


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """Two folders of four pictures with equal names; the first has the prompts."""
    for side, name in enumerate("ab"):
        folder = tmp_path / name
        folder.mkdir()
        for number, prompt in enumerate(PROMPTS):
            (folder / f"{number}.png").write_bytes(png(2 * number + side))
            if not side:
                (folder / f"{number}.txt").write_text(prompt)
    return [tmp_path / "a", tmp_path / "b"]


@pytest.fixture
def ballot(folders: list[Path], tmp_path: Path) -> Iterator[Callable[..., Ballot]]:
    """Open the votes on `folders`; the ones opened before are closed."""
    from contextlib import ExitStack

    with ExitStack() as stack:

        def make(order: Order = "random", seed: int = 0) -> Ballot:
            stack.close()
            file = stack.enter_context(open_votes(tmp_path / "votes"))
            return Ballot(pairs_of(folders).pairs, file, seed, order)

        yield make
