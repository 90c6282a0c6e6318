"""Voting: who is shown which pair, and what becomes of what they say. Knows nothing of pages and servers."""

from __future__ import annotations

import hashlib
import io
import statistics
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from ddecli.collect.order import Order, asked_next, first_is_left, places
from ddecli.collect.pairs import AskedPair, Picture
from ddecli.collect.votes_file import VotesFile
from ddecli.core.console import console
from ddecli.core.errors import BadRow, UserError
from ddecli.core.images import load_image
from ddecli.core.protocol import clean_prompt
from ddecli.core.text import is_text
from ddecli.data.pairs import read_image_bytes
from ddecli.data.votes import CHOICES, LEFT, UNDO, Vote, standing, tallies

LONGEST_NAME = 40
"""Characters of a voter's name."""
LONGEST_PAUSE_S = 300.0
"""A vote that took longer was interrupted, and says nothing of the time that is left."""
LATEST = 30
"""Votes by which the time that is left is told."""


class Gone(UserError):
    """A pair cannot be shown: its pictures were removed, changed or cannot be read."""


@dataclass(frozen=True)
class Shown:
    """A pair as one voter sees it."""

    pair: AskedPair
    left: Picture
    right: Picture


@dataclass(frozen=True)
class Progress:
    """How far a voter has come.

    Attributes:
        done, total: pairs; those that cannot be shown are in neither.
        seconds_left: by the voter's own pace; None before the first vote.
    """

    done: int
    total: int
    seconds_left: float | None


class Ballot:
    """The pairs that are asked, and the votes on them. May be used by several threads."""

    def __init__(self, pairs: Sequence[AskedPair], file: VotesFile, seed: int, order: Order) -> None:
        self.pairs = {pair.id: pair for pair in pairs}
        self.file, self.seed, self.order = file, seed, order
        self.gone: dict[str, str] = {}
        self._pinned: dict[str, str] = {}
        self._held: dict[str, tuple[str, dict[str, bytes]]] = {}
        self._places: dict[str, dict[str, int]] = {}
        self._lock = threading.RLock()

    def shown(self, voter: str) -> Shown | None:
        """What a voter sees now; None where nothing is left. Pairs whose pictures are gone are passed over."""
        with self._lock:
            while True:
                pair = self.pairs.get(self._pinned.get(voter, "")) or self._next(voter)
                if pair is None:
                    return None
                try:
                    self._hold(voter, pair)
                    return self.sides(voter, pair)
                except Gone as error:
                    self._leave_out(pair, str(error))

    def following(self, voter: str) -> AskedPair | None:
        """The pair that comes next if nobody else votes, so that its pictures can be fetched before."""
        with self._lock:
            of_pair, _ = self._held.get(voter, ("", {}))
            return self._next(voter, of_pair)

    def _next(self, voter: str, besides: str = "") -> AskedPair | None:
        pairs = list(self.pairs.values())
        if voter not in self._places:
            self._places[voter] = places(pairs, self.seed, voter)
        done = {vote.pair for vote in self.votes_of(voter)} | self.gone.keys() | {besides}
        counted = {tally.pair: tally for tally in tallies(standing(self.file.lines))}
        return asked_next(pairs, self.order, self._places[voter], done, counted)

    def sides(self, voter: str, pair: AskedPair) -> Shown:
        """Which picture stands where for a voter."""
        first, second = pair.pictures
        return Shown(pair, *((first, second) if first_is_left(pair, self.seed, voter) else (second, first)))

    def picture(self, voter: str, pair_id: str, side: str) -> bytes:
        """A picture that a voter is shown, upright, as an RGB PNG: without a word of where it came from.

        Raises:
            Gone: it cannot be shown any more.
            UserError: there is no such pair.
        """
        shown = self.sides(voter, self._pair(pair_id))
        picture = shown.left if side == LEFT else shown.right
        with self._lock:
            of_pair, held = self._held.get(voter, ("", {}))
        return _png(held[picture.digest] if of_pair == pair_id else _content(picture), picture)

    def vote(self, voter: str, pair_id: str, choice: str, seconds: float | None = None) -> None:
        """Keep a vote; it is on the disk when this returns.

        Raises:
            Gone: the pictures cannot be kept, and so the vote neither.
            UserError: there is no such pair or choice, or the vote cannot be written.
        """
        pair = self._pair(pair_id)
        if choice not in CHOICES:
            raise UserError(f"{choice!r} is none of {', '.join(CHOICES)}.")
        with self._lock:
            shown = self.sides(voter, pair)
            try:
                content = self._hold(voter, pair)
            except Gone as error:
                self._leave_out(pair, str(error))
                raise
            names = {
                picture.digest: self.file.keep(
                    picture.digest, picture.path.suffix.lower(), content[picture.digest]
                )
                for picture in pair.pictures
            }
            self.file.add(
                Vote(
                    voter,
                    pair.id,
                    choice,
                    pair.prompt,
                    left=names[shown.left.digest],
                    right=names[shown.right.digest],
                    left_from=shown.left.source,
                    right_from=shown.right.source,
                    seconds=None if seconds is None else round(seconds, 2),
                    time=_now(),
                    left_noise=shown.left.noise,
                    right_noise=shown.right.noise,
                )
            )
            self._pinned.pop(voter, None)

    def undo(self, voter: str) -> None:
        """Take a voter's last vote back; its pair is shown again.

        Raises:
            UserError: there is none, or it cannot be written.
        """
        with self._lock:
            mine = self.votes_of(voter)
            if not mine:
                raise UserError("There is no vote to take back.")
            last = mine[-1]
            self.file.add(replace(last, choice=UNDO, seconds=None, time=_now()))
            self._pinned[voter] = last.pair

    def votes_of(self, voter: str) -> list[Vote]:
        """The votes of one voter that stand, on pairs that are asked here, in the order in which they were cast."""
        with self._lock:
            return [
                vote
                for vote in standing(line for line in self.file.lines if line.voter == voter)
                if vote.pair in self.pairs
            ]

    def progress(self, voter: str) -> Progress:
        """How far a voter has come, and how long the rest will take."""
        mine = self.votes_of(voter)
        done = {vote.pair for vote in mine}
        total = len(self.pairs.keys() - (self.gone.keys() - done))
        paces = [
            vote.seconds for vote in mine if vote.seconds is not None and vote.seconds <= LONGEST_PAUSE_S
        ]
        left = statistics.median(paces[-LATEST:]) * (total - len(done)) if paces else None
        return Progress(len(done), total, left)

    def voters(self) -> list[str]:
        """Everybody who ever voted here, by name."""
        with self._lock:
            return sorted({line.voter for line in self.file.lines})

    def _pair(self, pair_id: str) -> AskedPair:
        if pair_id not in self.pairs:
            raise UserError("This pair is not asked here: load the page again.")
        return self.pairs[pair_id]

    def _hold(self, voter: str, pair: AskedPair) -> dict[str, bytes]:
        """The files of the pair that a voter sees, by digest: kept in memory until another one is shown."""
        of_pair, held = self._held.get(voter, ("", {}))
        if of_pair != pair.id:
            held = {picture.digest: _content(picture) for picture in pair.pictures}
            self._held[voter] = pair.id, held
        return held

    def _leave_out(self, pair: AskedPair, why: str) -> None:
        self.gone[pair.id] = why
        self._pinned = {voter: pinned for voter, pinned in self._pinned.items() if pinned != pair.id}
        console.print(f"A pair is left out: {why}")


def checked_name(name: str) -> str:
    """A voter's name, without spaces at its ends.

    Raises:
        UserError: it is empty, too long or no text.
    """
    cleaned = clean_prompt(name)
    if not cleaned or not is_text(cleaned) or not cleaned.isprintable():
        raise UserError("A voter needs a name: any text that can be printed.")
    if len(cleaned) > LONGEST_NAME:
        raise UserError(f"The name has {len(cleaned)} characters, at most {LONGEST_NAME} are taken.")
    return cleaned


def _content(picture: Picture) -> bytes:
    """A picture's file, if it is still what it was and can be shown."""
    try:
        content = read_image_bytes(picture.path)
        if hashlib.sha256(content).hexdigest() != picture.digest:
            raise Gone(f"{picture.path} has changed since ddecli collect was started.")
        load_image(content)
    except BadRow as error:
        raise Gone(f"{error}.") from error
    return content


def _png(content: bytes, picture: Picture) -> bytes:
    try:
        buffer = io.BytesIO()
        load_image(content).save(buffer, "PNG", compress_level=1)
    except BadRow as error:  # it could be read when it was shown first
        raise Gone(f"{picture.path}: {error}.") from error
    return buffer.getvalue()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
