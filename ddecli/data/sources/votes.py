"""A folder of `ddecli collect`: votes of people, those on one pair taken together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ddecli.core.errors import BadRow, UserError
from ddecli.core.files import sha256_file
from ddecli.core.inside import inside
from ddecli.data.labels import share_of_votes
from ddecli.data.pairs import Pair, Rejects
from ddecli.data.sources.base import PART_ROWS, Part, Source, Wanted
from ddecli.data.votes import VOTES, Tally, read_votes, tallies


def votes_source(folder: Path, wanted: Wanted) -> Source:
    """The pairs that people voted on.

    The picture with more votes is preferred, and its share of them is the label's strength; a vote for neither counts
    half for both. A pair with as many votes on either side is a tie.

    Raises:
        UserError: there are no votes, they are damaged, or pictures without pairs are wanted.
    """
    if wanted.winners_only:
        raise UserError(
            f"{folder} holds votes on pairs: leave --winners-only out; ddecli train --loss sft trains on the preferred "
            "pictures of pairs."
        )
    counted = tallies(read_votes(folder))
    if not counted:
        raise UserError(f"{folder} holds no votes yet: cast some with ddecli collect --out {folder}.")
    voters = len({vote.voter for tally in counted for vote in tally.votes})
    content = sha256_file(folder / VOTES)
    drawn = _drawn(counted)
    parts = []
    for start in range(0, len(counted), PART_ROWS):
        some = counted[start : start + PART_ROWS]
        read = partial(_pairs, folder, some, wanted.labelled, drawn is not None)
        parts.append(Part(f"{VOTES}, pairs from {start} on", read, len(some), None, content))
    layout = f"votes of {voters} {'people' if voters > 1 else 'person'}"
    return Source(str(folder.resolve()), layout, parts, drawn=drawn)


def _drawn(counted: Sequence[Tally]) -> dict[str, Any] | None:
    """What the noise of the pictures depends on beside their seeds, if they all were sampled and it is the same."""
    known = [noise for tally in counted for noise in tally.noises]
    about = [noise and {key: value for key, value in noise.items() if key != "seed"} for noise in known]
    return about[0] if all(each == about[0] for each in about) else None


def _pairs(
    folder: Path, counted: Sequence[Tally], labelled: bool, with_noise: bool, rejects: Rejects
) -> Iterator[Pair]:
    for tally in counted:
        try:
            share = share_of_votes(tally.shares, VOTES) if labelled else None
            better, worse = (0, 1) if share is None or share > 0.5 else (1, 0)
            yield Pair(
                tally.prompt,
                _picture(folder, tally.pictures[better]),
                _picture(folder, tally.pictures[worse]),
                tally.pair,
                str(folder),
                noise=(_seed(tally, better), _seed(tally, worse)) if with_noise else None,
                strength=None if share is None else max(share, 1 - share),
            )
        except BadRow as error:
            rejects.add(tally.pair, error)


def _seed(tally: Tally, number: int) -> int:
    return int((tally.noises[number] or {})["seed"])


def _picture(folder: Path, name: str) -> Path:
    """A picture of the folder, which is still the one that was voted on."""
    path = inside(folder, name)
    if not path.is_file():
        raise BadRow("missing image", name)
    if not sha256_file(path).startswith(path.stem):
        raise BadRow("picture has changed since it was voted on", name)
    return path
