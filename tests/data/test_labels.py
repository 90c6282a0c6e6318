"""What says which picture was preferred: every form that is read, and what is none and is counted as such."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from ddecli.core.errors import BadRow
from ddecli.data.labels import Names, number, says_no, share_of_first, share_of_votes, side_of, votes_of

COLUMNS: Names = (("image_0",), ("image_1",))


def outcome(read: Any, *arguments: Any) -> Any:
    """What it gives, or the reason why it does not."""
    try:
        return read(*arguments)
    except BadRow as error:
        return error.reason


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        *((label, 1.0) for label in (1, 1.0, "1", "1.0", True, "True", "true", "win", "Won ")),
        *((label, 0.0) for label in (0, 0.0, "0", False, "False", "FALSE", "lose", "lost")),
        *((label, float(label)) for label in (0.51, "0.7", 0.49)),
        *((label, "tie") for label in (0.5, "0.5", "tie", "draw")),
        *((label, "not labelled") for label in (None, "", "  ", math.nan, "nan", "NaN", "null", "None")),
        *((label, "label outside 0 to 1") for label in (2, -1, "2", 1.01, 10**30)),
        *((label, "unreadable label") for label in ("left", "right", "A", "image_0", "?", [1], {})),
        *((label, "unreadable label") for label in (math.inf, "inf", "1e999", 10**400)),
    ],
)
def test_labels_of_the_first_picture(label: Any, expected: Any) -> None:
    assert outcome(share_of_first, label, "label_0") == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        *((value, True) for value in (False, "False", 0, "0", "0.0", 0.0, "no", " NO ")),
        *((value, False) for value in (True, "true", 1, "1.0", "yes", None, "", math.nan)),
        *((value, "unreadable label") for value in ("maybe", 2, "left", [0])),
    ],
)
def test_yes_and_no(value: Any, expected: Any) -> None:
    assert outcome(says_no, value, "has_label") == expected


@pytest.mark.parametrize(
    ("names", "winner", "expected"),
    [
        (COLUMNS, "image_0", 0),
        (COLUMNS, "IMAGE_1", 1),
        (COLUMNS, 0, 0),
        (COLUMNS, 1.0, 1),
        (COLUMNS, "1", 1),
        (COLUMNS, 2, "unreadable label"),
        ((("image1",), ("image2",)), 1, 0),
        ((("image1",), ("image2",)), "2", 1),
        ((("image1",), ("image2",)), "image_2.jpg", 1),
        ((("image1",), ("image2",)), 0, "unreadable label"),
        ((("image_a",), ("image_b",)), "model_b", 1),
        (COLUMNS, "left", 0),
        (COLUMNS, "Right", 1),
        (COLUMNS, "model_a", 0),
        (COLUMNS, "B", 1),
        (COLUMNS, "second", 1),
        *(
            (COLUMNS, tie, None)
            for tie in ("tie", "Tie (bothbad)", "both_good", "bothbad_vote", "draw", "neither")
        ),
        ((("image_0", "flux-1"), ("image_1", "sd3")), "SD3", 1),
        ((("image_0", "tiefighter"), ("image_1", "sd3")), "tiefighter", 0),
        ((("image_0", "x-1"), ("image_1", "x-0")), "1", 1),
        ((("image_0", "same"), ("image_1", "same")), "same", "unreadable label"),
        (COLUMNS, "sd3", "unreadable label"),
        ((("image_0", "flux-1.0"), ("image_1", "flux-1.1")), "flux-1.1", 1),
        ((("image_0", "x/cat.png"), ("image_1", "y/dog.png")), "dog.jpg", 1),
        (COLUMNS, True, "unreadable label"),
        (COLUMNS, None, "not labelled"),
    ],
)
def test_names_of_the_winner(names: Names, winner: Any, expected: Any) -> None:
    assert outcome(side_of, winner, names, "winner") == expected


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ([9, 3], (9, 3)),
        ("[9, 3]", (9, 3)),
        ({"image_0": 9, "image_1": 3}, (9, 3)),
        ('{"image_1": 9, "image_0": 3}', (3, 9)),
        ('{"image_1.jpg": 9, "image_0.jpg": 3}', (3, 9)),
        (None, None),
        ("", None),
        ("null", None),
        ("nine to three", "unreadable label"),
        ("[9]", "unreadable label"),
        ([1, 2, 3], "unreadable label"),
        (9, "unreadable label"),
        ('{"x": 9, "y": 3}', "unreadable label"),
        ('{"image_0": 9}', "unreadable label"),
        ('{"image_0": 9, "left": 3}', "unreadable label"),
        ("[" * 100_000, "unreadable label"),
    ],
)
def test_votes_in_one_cell(cell: Any, expected: Any) -> None:
    assert outcome(votes_of, cell, "votes", COLUMNS) == expected


@pytest.mark.parametrize(
    ("votes", "expected"),
    [
        ((9, 3), 0.75),
        ((3, 9), 0.25),
        (("10", "9"), 10 / 19),
        ((7, 0), 1.0),
        ((0, 0.5), 0.0),
        ((2**53 + 2, 2**53), math.nextafter(0.5, 1)),
        ((2**53, 2**53 + 2), math.nextafter(0.5, 0)),
        ((1.5e308, 0.5e308), 0.75),
        ((5, 5), "tie"),
        ((0, 0), "not labelled"),
        ((None, 3), "not labelled"),
        ((-1, 3), "negative votes"),
        (("nine", 3), "unreadable label"),
        ((math.inf, 3), "unreadable label"),
    ],
)
def test_the_winner_by_votes(votes: tuple[Any, Any], expected: Any) -> None:
    assert outcome(share_of_votes, votes, "votes") == (
        expected if isinstance(expected, str) else pytest.approx(expected, rel=1e-15)
    )


def test_a_long_label_is_not_printed_whole() -> None:
    with pytest.raises(BadRow) as refused:
        number(json.dumps("x" * 10_000), "label_0")
    assert len(str(refused.value)) < 150
