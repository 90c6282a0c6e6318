"""The votes of people as pairs."""

from __future__ import annotations

from pathlib import Path

import pytest
from pair_data import png

from ddecli.collect.votes_file import open_votes
from ddecli.core.errors import UserError
from ddecli.core.files import sha256_file
from ddecli.data.pairs import TIE, Pair, Rejects
from ddecli.data.sources.base import Wanted
from ddecli.data.sources.registry import open_source
from ddecli.data.votes import VOTES, Vote


@pytest.fixture
def votes(tmp_path: Path) -> Path:
    """Pair 0: 2 to 1 and a tie for the even picture; 1: divided; 2: ties; 3: one vote for the odd picture."""
    cast = ["left left right tie", "left right", "tie,both bad", "right"]
    with open_votes(tmp_path / "votes") as file:
        for number, choices in enumerate(cast):
            names = []
            for each in (2 * number, 2 * number + 1):
                (tmp_path / "x.png").write_bytes(png(each))
                names.append(file.keep(sha256_file(tmp_path / "x.png"), ".png", png(each)))
            for voter, choice in enumerate(choices.split("," if "," in choices else None)):
                seen = names if voter % 2 == 0 else names[::-1]
                side = {"left": "right", "right": "left"}.get(choice, choice) if voter % 2 else choice
                file.add(Vote(f"voter {voter}", f"pair {number}", side, "a fox", *seen, "x", "y", 1.0, "now"))
    return tmp_path / "votes"


def read(folder: Path, labelled: bool = True) -> tuple[list[Pair], Rejects]:
    rejects = Rejects()
    source = open_source(folder, Wanted(labelled=labelled))
    return [pair for part in source.parts for pair in part.read(rejects)], rejects


def test_the_majority_decides_and_its_share_is_the_strength(votes: Path) -> None:
    pairs, rejects = read(votes)
    assert [(pair.pair_id, pair.prompt, pair.strength) for pair in pairs] == [
        ("pair 0", "a fox", 2.5 / 4),
        ("pair 3", "a fox", 1.0),
    ]
    files = [[Path(str(each)).read_bytes() for each in (pair.chosen, pair.rejected)] for pair in pairs]
    assert files == [[png(0), png(1)], [png(7), png(6)]]
    assert rejects.counts == {TIE: 2} and not rejects.bad_rows
    assert open_source(votes).layout == "votes of 4 people"


def test_where_scorers_decide_the_votes_do_not_count(votes: Path) -> None:
    pairs, rejects = read(votes, labelled=False)
    assert len(pairs) == 4 and not rejects.counts
    assert {pair.strength for pair in pairs} == {None}


def test_pictures_that_are_missing_or_changed_are_bad_rows(votes: Path) -> None:
    pairs, _ = read(votes)
    Path(str(pairs[0].chosen)).unlink()
    Path(str(pairs[1].rejected)).write_bytes(png(50))
    pairs, rejects = read(votes)
    assert not pairs
    assert rejects.counts == {TIE: 2, "missing image": 1, "picture has changed since it was voted on": 1}


def test_a_part_differs_where_the_votes_do(votes: Path) -> None:
    before = [part.identity for part in open_source(votes).parts]
    assert before == [part.identity for part in open_source(votes).parts]
    line = (votes / VOTES).read_bytes().splitlines(keepends=True)[-1]
    with (votes / VOTES).open("ab") as file:
        file.write(line)
    assert before != [part.identity for part in open_source(votes).parts]


def test_a_folder_without_votes(tmp_path: Path) -> None:
    with open_votes(tmp_path / "votes"):
        pass
    with pytest.raises(UserError, match="holds no votes yet"):
        open_source(tmp_path / "votes")


def test_pictures_without_pairs_are_not_what_votes_are(votes: Path) -> None:
    with pytest.raises(UserError, match="leave --winners-only out"):
        open_source(votes, Wanted(winners_only=True))


def noise(number: int, resolution: int = 32) -> dict[str, object]:
    return {"seed": number, "family": "sd", "resolution": resolution}


@pytest.mark.parametrize(
    ("of_second", "drawn"),
    [
        (noise(5), {"family": "sd", "resolution": 32}),
        (noise(5, 64), None),
        (None, None),
    ],
)
def test_the_noise_of_sampled_pictures_is_known_where_all_have_it(
    tmp_path: Path, of_second: dict[str, object] | None, drawn: dict[str, object] | None
) -> None:
    with open_votes(tmp_path / "votes") as file:
        for number, choice in enumerate(("left", "right")):
            names = []
            for each in (2 * number, 2 * number + 1):
                (tmp_path / "x.png").write_bytes(png(each))
                names.append(file.keep(sha256_file(tmp_path / "x.png"), ".png", png(each)))
            seen = (*names, "x", "y", 1.0, "now", noise(2 * number), of_second if number else noise(1))
            file.add(Vote("ann", f"pair {number}", choice, "a fox", *seen))
    source = open_source(tmp_path / "votes")
    assert source.drawn == drawn
    pairs = [pair for part in source.parts for pair in part.read(Rejects())]
    assert [pair.noise for pair in pairs] == ([(0, 1), (5, 2)] if drawn else [None, None])
