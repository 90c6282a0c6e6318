"""Voting: shown, kept, taken back, gone on with; pictures that are gone."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin

from ddecli.collect.ballot import Ballot, Gone, checked_name
from ddecli.core.errors import UserError
from ddecli.core.images import load_image
from ddecli.data.votes import read_votes

Make = Callable[..., Ballot]


def vote(ballot: Ballot, voter: str, choice: str = "left", seconds: float | None = 2.0) -> str:
    """Vote on what is shown, and give its id."""
    shown = ballot.shown(voter)
    assert shown is not None
    ballot.vote(voter, shown.pair.id, choice, seconds)
    return shown.pair.id


def test_a_voter_is_asked_every_pair_once(ballot: Make, tmp_path: Path) -> None:
    here = ballot()
    asked = [vote(here, "ann") for _ in range(4)]
    assert sorted(asked) == sorted(here.pairs) and here.shown("ann") is None
    assert here.shown("bob") is not None and here.voters() == ["ann"]
    votes = read_votes(tmp_path / "votes")
    assert [each.pair for each in votes] == asked
    for each in votes:
        assert each.preferred == each.left and (tmp_path / "votes" / each.left).is_file()
        assert {each.left_from, each.right_from} == {str(tmp_path / "a"), str(tmp_path / "b")}


def test_what_stands_on_the_left_is_what_is_kept_as_left(ballot: Make, tmp_path: Path) -> None:
    here = ballot()
    for choice in ("left", "right", "tie", "both bad"):
        shown = here.shown("ann")
        assert shown is not None
        seen = Image.open(io.BytesIO(here.picture("ann", shown.pair.id, "left")))
        here.vote("ann", shown.pair.id, choice)
        kept = read_votes(tmp_path / "votes")[-1]
        assert list(load_image(tmp_path / "votes" / kept.left).getdata()) == list(seen.getdata())
        assert (tmp_path / "votes" / kept.left).read_bytes() == shown.left.path.read_bytes()
        assert kept.preferred == {"left": kept.left, "right": kept.right}.get(choice)


def test_opened_again_it_goes_on_with_the_same_pair(ballot: Make) -> None:
    here = ballot()
    done = [vote(here, "ann"), vote(here, "ann")]
    before = here.shown("ann")
    again = ballot()
    assert again.shown("ann") == before
    assert again.progress("ann").done == 2
    assert vote(again, "ann") not in done


def test_votes_are_taken_back_one_by_one(ballot: Make, tmp_path: Path) -> None:
    here = ballot("informative")
    vote(here, "bob", "right")
    one, two = vote(here, "ann"), vote(here, "ann")
    for expected in (two, one):
        here.undo("ann")
        shown = here.shown("ann")
        assert shown is not None and shown.pair.id == expected
    with pytest.raises(UserError, match="no vote to take back"):
        here.undo("ann")
    assert [each.voter for each in read_votes(tmp_path / "votes")] == ["bob"]
    assert vote(here, "ann", "tie") == one


def test_time_left_is_the_median_pace_of_the_voter(ballot: Make) -> None:
    here = ballot()
    assert here.progress("ann").seconds_left is None
    vote(here, "ann", seconds=2)
    vote(here, "ann", seconds=4)
    vote(here, "ann", seconds=10_000)  # interrupted
    vote(here, "bob", seconds=100)
    assert here.progress("ann").seconds_left == 3
    vote(here, "ann", seconds=None)
    assert here.progress("ann").seconds_left == 0


def test_pictures_that_are_removed_or_changed_are_passed_over(
    ballot: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = ballot()
    vote(here, "ann")
    shown = here.shown("ann")
    assert shown is not None
    shown.left.path.unlink()  # of a pair that is seen already: its vote counts
    here.vote("ann", shown.pair.id, "left")
    assert here.shown("ann") is not None
    upcoming = here.following("ann")
    assert upcoming is not None
    last = next(pair for pair in here.pairs.values() if pair.id == upcoming.id)
    last.pictures[1].path.write_bytes(last.pictures[0].path.read_bytes())
    vote(here, "ann")
    assert here.shown("ann") is None
    assert (here.progress("ann").done, here.progress("ann").total) == (3, 3)
    assert "has changed" in here.gone[last.id] and "A pair is left out" in capsys.readouterr().err
    with pytest.raises(Gone):
        here.picture("bob", last.id, "left" if here.sides("bob", last).left == last.pictures[1] else "right")
    assert len(read_votes(tmp_path / "votes")) == 3


def test_a_vote_on_a_picture_that_went_before_it_was_seen_is_not_kept(ballot: Make, tmp_path: Path) -> None:
    here = ballot()
    shown = here.shown("ann")
    assert shown is not None
    for picture in shown.pair.pictures:
        picture.path.unlink()
    with pytest.raises(Gone):
        here.vote("bob", shown.pair.id, "left")
    assert read_votes(tmp_path / "votes") == []


def test_what_is_shown_says_nothing_of_where_it_came_from(ballot: Make, folders: list[Path]) -> None:
    """Texts in a picture's file, its format and its orientation are gone."""
    about = PngImagePlugin.PngInfo()
    about.add_text("parameters", "model b")
    load_image(folders[1] / "0.png").save(folders[1] / "0.png", pnginfo=about)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 20), "red").save(folders[1] / "1.jpg", exif=exif)
    (folders[1] / "1.png").unlink()
    here = ballot()
    sizes = set()
    for pair in here.pairs.values():
        for side in ("left", "right"):
            content = here.picture("ann", pair.id, side)
            assert content.startswith(b"\x89PNG") and b"model b" not in content
            sizes.add(Image.open(io.BytesIO(content)).size)
    assert sizes == {(32, 32), (20, 40)}


def test_two_pages_of_one_voter_count_once(ballot: Make, tmp_path: Path) -> None:
    here = ballot()
    shown = here.shown("ann")
    assert shown is not None
    for choice in ("left", "right"):
        here.vote("ann", shown.pair.id, choice)
    (kept,) = read_votes(tmp_path / "votes")
    assert kept.choice == "right" and here.progress("ann").done == 1


@pytest.mark.parametrize("name", ["", "  ", "a" * 41, "a\x1b[2J", "\ud800"])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(UserError, match="name"):
        checked_name(name)
    assert checked_name("  Ann   Müller ") == "Ann Müller"


def test_votes_on_what_is_not_asked(ballot: Make, tmp_path: Path) -> None:
    here = ballot()
    with pytest.raises(UserError, match="not asked here"):
        here.vote("ann", "0" * 12, "left")
    with pytest.raises(UserError, match="none of left, right, tie, both bad"):
        here.vote("ann", next(iter(here.pairs)), "undo")
    assert read_votes(tmp_path / "votes") == []
