"""Votes of people on pairs of pictures, as `ddecli collect` keeps them: a line a vote, written once and never changed.

A votes folder holds `votes.jsonl` and, in `pictures/`, a copy of every picture that was voted on, named by its digest:
it can be passed on as it is. A line says who preferred which of two pictures, what stood on the left, and when. A vote
is taken back by a line of its own, and one cast again replaces the one before. Every line ends with a digest of what
it holds: a changed one is told from what somebody voted.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ddecli.core.errors import UserError
from ddecli.core.files import sha256_text
from ddecli.core.parsing import check_shape, parse_json
from ddecli.core.paths import readable_file
from ddecli.core.text import to_json

VOTES, PICTURES = "votes.jsonl", "pictures"
LEFT, RIGHT, TIE, BOTH_BAD, UNDO = "left", "right", "tie", "both bad", "undo"
CHOICES = (LEFT, RIGHT, TIE, BOTH_BAD)
CHECK = "check"
"""The key of a line's digest: the first 12 hexadecimal digits of the SHA-256 of the rest."""


@dataclass(frozen=True)
class Vote:
    """A line of the votes file.

    Attributes:
        pair: an id made of the prompt and of what the two pictures hold.
        choice: one of `CHOICES`, or `UNDO` for a vote on this pair that is taken back.
        left: the picture that stood there, relative to the votes folder.
        left_from: the folder that it came from.
        left_noise: seed of the noise that the left picture was sampled from, with what `drawn_with` says; None where
            that is not known.
        seconds: from the moment both pictures were seen; None if nobody knows.
        time: when, in UTC (ISO 8601).
    """

    voter: str
    pair: str
    choice: str
    prompt: str
    left: str
    right: str
    left_from: str
    right_from: str
    seconds: float | None
    time: str
    left_noise: dict[str, Any] | None = None
    right_noise: dict[str, Any] | None = None

    @property
    def preferred(self) -> str | None:
        """The preferred picture; None where neither was."""
        return {LEFT: self.left, RIGHT: self.right}.get(self.choice)

    def line(self) -> str:
        """As it stands in the file, with its line end."""
        values = asdict(self)
        return to_json(values | {CHECK: _check(values)}) + "\n"


@dataclass(frozen=True)
class Tally:
    """What all voters said of one pair.

    Attributes:
        pictures: the two of them, in the order of their names.
        sources: the folders that they came from.
        noises: what they were sampled from, if that is known (`Vote.left_noise`).
    """

    pair: str
    prompt: str
    pictures: tuple[str, str]
    sources: tuple[str, str]
    noises: tuple[dict[str, Any] | None, dict[str, Any] | None]
    votes: tuple[Vote, ...]

    @property
    def wins(self) -> tuple[int, int]:
        """How often each was preferred."""
        first, second = (sum(vote.preferred == name for vote in self.votes) for name in self.pictures)
        return first, second

    @property
    def undecided(self) -> int:
        """How many preferred neither: ties, and both bad."""
        return len(self.votes) - sum(self.wins)

    @property
    def shares(self) -> tuple[float, float]:
        """Votes for each, where those for neither count half for both."""
        first, second = self.wins
        return first + self.undecided / 2, second + self.undecided / 2


def is_votes(folder: Path) -> bool:
    """Whether a folder is one of `ddecli collect`."""
    return (folder / VOTES).is_file() and (folder / PICTURES).is_dir()


def read_votes(folder: Path) -> list[Vote]:
    """The votes that stand, in the order in which they were cast.

    Raises:
        UserError: the file is missing, or a line of it has been damaged or changed.
    """
    return standing(votes_of(readable_file(folder / VOTES).read_bytes(), folder / VOTES)[0])


def votes_of(content: bytes, file: Path) -> tuple[list[Vote], int]:
    """All lines of a votes file, and up to which byte they are whole.

    A process that was killed may leave a last line that is torn: nobody was told that it is kept, and it is no vote.

    Raises:
        UserError: another line is damaged or was changed.
    """
    *lines, rest = content.split(b"\n")
    votes = [_vote(line, f"{file} is damaged at line {number}") for number, line in enumerate(lines, 1)]
    return votes, len(content) - len(rest)


def standing(lines: Iterable[Vote]) -> list[Vote]:
    """The votes that were neither taken back nor replaced, in the order in which they were cast."""
    found: dict[tuple[str, str], Vote] = {}
    for vote in lines:
        found.pop((vote.voter, vote.pair), None)
        if vote.choice != UNDO:
            found[vote.voter, vote.pair] = vote
    return list(found.values())


def tallies(votes: Sequence[Vote]) -> list[Tally]:
    """The votes by pairs, in the order in which these were first voted on."""
    together: dict[str, list[Vote]] = {}
    for vote in votes:
        together.setdefault(vote.pair, []).append(vote)
    return [_tally(pair, tuple(own)) for pair, own in together.items()]


def _tally(pair: str, votes: tuple[Vote, ...]) -> Tally:
    first = votes[0]
    sides = (
        (first.left, first.left_from, first.left_noise),
        (first.right, first.right_from, first.right_noise),
    )
    one, two = sorted(sides, key=lambda side: side[0])
    return Tally(pair, first.prompt, (one[0], two[0]), (one[1], two[1]), (one[2], two[2]), votes)


def _vote(line: bytes, damaged: str) -> Vote:
    try:
        values = parse_json(line)
        check_shape(values, dict[str, Any])
        check = values.pop(CHECK, None)
        if check != _check(values):
            raise ValueError("it is not what was written")
        vote = Vote(**values)
        if vote.choice not in (*CHOICES, UNDO):
            raise ValueError(f"nobody votes {vote.choice!r}")
    except (TypeError, ValueError) as error:
        raise UserError(f"{damaged} ({error}): remove that line to go on without its vote.") from error
    return vote


def _check(values: dict[str, Any]) -> str:
    return sha256_text(json.dumps(values, sort_keys=True))[:12]
