"""`ddecli export` of votes: read back as the other tools read them."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse
from xml.etree import ElementTree

import pytest
from cli_checks import assert_one_sentence, contents
from pair_data import png
from PIL import Image

from ddecli.collect.votes_file import open_votes
from ddecli.data.pairs import Rejects
from ddecli.data.sources.registry import open_source
from ddecli.data.votes import Vote, read_votes, tallies

Run = Callable[..., Any]


@pytest.fixture
def votes() -> Path:
    """Five pairs, voted on by two people: of one neither is preferred, of one they disagree."""
    choices = [("left", "left"), ("left", "tie"), ("both bad", "tie"), ("right", "left"), ("right", "right")]
    with open_votes(Path("votes")) as file:
        for number, cast in enumerate(choices):
            contents_of = [png(2 * number), png(2 * number + 1)]
            names = [file.keep(sha256(each).hexdigest(), ".png", each) for each in contents_of]
            for voter, choice in zip(("ann", "bob"), cast, strict=True):
                file.add(
                    Vote(voter, f"pair {number}", choice, f'a "fox" é {number}', *names, "x", "y", 1.5, "now")
                )
    return Path("votes")


def test_rapidata_s_columns_with_pictures_in_them(ddecli: Run, votes: Path) -> None:
    typed = ddecli("export", votes, "--layout", "rapidata", "--out", "out")
    assert typed.code == 0, typed.error
    assert "10 votes on 5 pairs" in typed.out
    import datasets

    (table,) = datasets.load_dataset("out", cache_dir="cache").values()
    published = "prompt image1 image2 votes_image1 votes_image2 model1 model2 detailed_results image1_path image2_path"
    assert table.column_names == published.split()
    for row, tally in zip(table, tallies(read_votes(votes)), strict=True):
        assert (row["prompt"], row["votes_image1"], row["votes_image2"]) == (tally.prompt, *tally.wins)
        for name, file in zip(("image1", "image2"), tally.pictures, strict=True):
            kept = Image.open(votes / file)
            assert (
                list(row[name].getdata()) == list(kept.getdata())
                and row[f"{name}_path"] == kept.filename.split("/")[-1]
            )
        details = json.loads(row["detailed_results"])
        assert [each["voter"] for each in details] == ["ann", "bob"]
        assert sum(each["choice"] == "image1" for each in details) == tally.wins[0]


def test_prepare_reads_the_same_preferences_from_it(ddecli: Run, votes: Path) -> None:
    """But for the votes for neither, which that layout has no place for."""
    assert ddecli("export", votes, "--layout", "rapidata", "--out", "out").code == 0
    found = []
    for data in ("votes", "out"):
        source = open_source(data)
        pairs = [pair for part in source.parts for pair in part.read(Rejects())]
        found.append(
            [
                (
                    pair.prompt,
                    *(
                        each.read_bytes() if isinstance(each, Path) else each
                        for each in (pair.chosen, pair.rejected)
                    ),
                )
                for pair in pairs
            ]
        )
    assert found[0] == found[1] and len(found[0]) == 3
    assert "Rapidata" in open_source("out").layout


def test_label_studio_s_tasks(ddecli: Run, votes: Path) -> None:
    typed = ddecli("export", votes, "--layout", "label-studio", "--out", "for ls/out")
    assert typed.code == 0, typed.error
    config = ElementTree.parse("for ls/out/label-config.xml")
    names = {tag.get("name"): tag for tag in config.iter() if tag.get("name")}
    tasks = json.loads(Path("for ls/out/tasks.json").read_text())
    for task, tally in zip(tasks, tallies(read_votes(votes)), strict=True):
        for name, file in zip(("image1", "image2"), tally.pictures, strict=True):
            served = parse_qs(urlparse(task["data"][name]).query)["d"][0]
            content = Path("for ls", served).read_bytes()  # the folder above is the document root
            assert content == (votes / file).read_bytes()
            assert Image.open(io.BytesIO(content)).size == (32, 32)
        assert f"${'prompt'}" == next(tag.get("value") for tag in config.iter("Header"))
        sides = []
        for annotation in task["annotations"]:
            (result,) = annotation["result"]
            control = names[result["from_name"]]
            assert control.tag.lower() == result["type"]
            assert set(control.get("toName").split(",")) <= set(names)  # type: ignore[union-attr]
            if result["type"] == "choices":
                assert result["value"]["choices"][0] in [choice.get("value") for choice in control]
            else:
                sides.append(result["value"]["selected"])
        assert (sides.count("left"), sides.count("right")) == tally.wins
        assert len(task["annotations"]) == len(tally.votes)


def test_label_studio_s_tasks_are_the_same_preferences(ddecli: Run, votes: Path) -> None:
    """With shares and votes for neither; what Label Studio makes of the file is in tests/data/test_label_studio.py."""
    assert ddecli("export", votes, "--layout", "label-studio", "--out", "out").code == 0
    found = []
    for data in ("votes", "out/tasks.json"):
        rejects = Rejects()
        pairs = [pair for part in open_source(data).parts for pair in part.read(rejects)]
        found.append([(pair.prompt, pair.chosen.name, pair.rejected.name, pair.strength) for pair in pairs])
        assert rejects.counts == {"tie": 2}
    assert found[0] == found[1] and [row[-1] for row in found[0]] == [1.0, 0.75, 1.0]


def test_what_cannot_be_exported(ddecli: Run, votes: Path) -> None:
    Path("pictures").mkdir()
    for layout in ("rapidata", "label-studio"):
        words = ("export", votes, "--layout", layout)
        assert_one_sentence(ddecli(*words, "--out", "votes"), "votes is not empty")
        assert_one_sentence(
            ddecli(*words, "--out", "out", "--prompts", "x.txt"), "--prompts is a benchmark's list"
        )
        typed = ddecli("export", "pictures", "--layout", layout, "--out", "out")
        assert_one_sentence(typed, "pictures is no folder of votes")
    next((votes / "pictures").iterdir()).unlink()
    before = contents(".")
    for layout in ("rapidata", "label-studio"):
        typed = ddecli("export", votes, "--layout", layout, "--out", "out")
        assert_one_sentence(typed, "cannot be exported: missing image")
    assert contents(".") == before
