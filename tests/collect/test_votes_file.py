"""Votes on the disk: kept, torn, damaged, taken back, and written by one process alone."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from full_disk import full_disk

from ddecli.collect.votes_file import open_votes
from ddecli.core.errors import UserError
from ddecli.data.votes import LEFT, RIGHT, TIE, UNDO, VOTES, Vote, read_votes, standing, tallies

VOTE = Vote(
    "ann", "0" * 12, LEFT, 'a "fox"\u2028é', "pictures/a.png", "pictures/b.png", "x", "y", 1.25, "now"
)


def written(folder: Path, *votes: Vote) -> Path:
    with open_votes(folder) as file:
        for vote in votes:
            file.add(vote)
    return folder / VOTES


def test_what_is_added_is_read(tmp_path: Path) -> None:
    votes = [VOTE, replace(VOTE, voter="bob", choice=RIGHT), replace(VOTE, pair="1" * 12, choice=TIE)]
    written(tmp_path / "v", *votes[:1])
    file = written(tmp_path / "v", *votes[1:])
    assert read_votes(tmp_path / "v") == votes
    assert len(file.read_text(encoding="utf-8").splitlines()) == 3 or "\\u2028" in file.read_text()


def test_a_vote_is_on_the_disk_before_it_is_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    seen: list[bytes] = []
    sync = os.fsync
    with open_votes(tmp_path / "v") as file:

        def synced(descriptor: int) -> None:
            seen.append((tmp_path / "v" / VOTES).read_bytes())
            sync(descriptor)

        monkeypatch.setattr(os, "fsync", synced)
        file.add(VOTE)
        assert seen == [VOTE.line().encode()]


KILLED = """
import os, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from collect.test_votes_file import VOTE
from dataclasses import replace
from ddecli.collect.votes_file import open_votes
with open_votes(Path({folder!r})) as file:
    for number in range(5):
        file.add(replace(VOTE, pair=str(number)))
        print(number, flush=True)
    os.kill(os.getpid(), 9)
"""


def test_a_kill_loses_no_vote(tmp_path: Path) -> None:
    code = KILLED.format(tests=str(Path(__file__).parents[1]), folder=str(tmp_path / "v"))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == -9, done.stderr
    assert [vote.pair for vote in read_votes(tmp_path / "v")] == done.stdout.split() == list("01234")


@pytest.mark.parametrize("cut", [1, 20, 150])
def test_a_torn_last_line_is_no_vote_and_is_removed(
    tmp_path: Path, cut: int, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(tmp_path / "v", VOTE, replace(VOTE, voter="bob"))
    file.write_bytes(file.read_bytes()[:-cut])
    assert read_votes(tmp_path / "v") == [VOTE]
    assert file.stat().st_size > len(VOTE.line().encode())  # reading changes nothing
    written(tmp_path / "v", replace(VOTE, voter="eve"))
    assert "ended in the middle of a line" in capsys.readouterr().err
    assert [vote.voter for vote in read_votes(tmp_path / "v")] == ["ann", "eve"]


@pytest.mark.parametrize(
    "change",
    [
        lambda line: line.replace('"left"', '"right"', 1),
        lambda line: line.replace("ann", "bob"),
        lambda line: json.dumps({"voter": "ann"}),
        lambda line: "[]",
        lambda line: line[:40],
        lambda line: "",
    ],
)
def test_a_changed_line_is_told_by_its_number(tmp_path: Path, change: object) -> None:
    file = written(tmp_path / "v", VOTE, VOTE, VOTE)
    lines = file.read_text(encoding="utf-8").split("\n")
    lines[1] = change(lines[1])  # type: ignore[operator]
    file.write_text("\n".join(lines), encoding="utf-8")
    before = file.read_bytes()
    with pytest.raises(UserError, match=r"votes.jsonl is damaged at line 2 .*remove that line"):
        read_votes(tmp_path / "v")
    with pytest.raises(UserError, match="damaged at line 2"), open_votes(tmp_path / "v"):
        pass
    assert file.read_bytes() == before


def test_votes_that_are_taken_back_or_cast_again() -> None:
    other = replace(VOTE, pair="1" * 12)
    again = replace(VOTE, choice=RIGHT)
    assert standing([VOTE, other, replace(other, choice=UNDO)]) == [VOTE]
    assert standing([VOTE, other, again]) == [other, again]
    assert standing([replace(VOTE, choice=UNDO)]) == []


def test_a_tally_counts_pictures_not_sides() -> None:
    turned = replace(
        VOTE, left=VOTE.right, right=VOTE.left, left_from=VOTE.right_from, right_from=VOTE.left_from
    )
    cast = [VOTE, turned, replace(turned, choice=RIGHT), replace(VOTE, choice=TIE)]
    (tally,) = tallies([replace(vote, voter=f"voter {number}") for number, vote in enumerate(cast)])
    assert tally.pictures == ("pictures/a.png", "pictures/b.png") and tally.sources == ("x", "y")
    assert tally.wins == (2, 1) and tally.undecided == 1 and tally.shares == (2.5, 1.5)


def test_a_full_disk_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    with open_votes(tmp_path / "v") as file:
        file.add(VOTE)
        before = (tmp_path / "v" / VOTES).read_bytes()
        with full_disk(len(before) + 50), pytest.raises(UserError, match="Cannot write"):
            file.add(replace(VOTE, voter="bob"))
        assert (tmp_path / "v" / VOTES).read_bytes() == before
        file.add(replace(VOTE, voter="eve"))
    assert [vote.voter for vote in read_votes(tmp_path / "v")] == ["ann", "eve"]


def test_one_process_alone_and_no_other_folder(tmp_path: Path) -> None:
    with (
        open_votes(tmp_path / "v"),
        pytest.raises(UserError, match=r"Another ddecli collect has .* open"),
        open_votes(tmp_path / "v"),
    ):
        pass
    with open_votes(tmp_path / "v"):
        pass
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(UserError, match="not empty and holds no votes"), open_votes(tmp_path / "mine"):
        pass
    assert [file.name for file in (tmp_path / "mine").iterdir()] == ["letter.txt"]
