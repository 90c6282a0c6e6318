"""`ddecli collect`: from folders of pictures to votes, and from votes to a trained model."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest
from cli_checks import assert_one_sentence, contents
from pair_data import png

Run = Callable[..., Any]
PAIRS = 12


@pytest.fixture
def folders() -> list[str]:
    """`a` and `b` with pictures of equal names; `a` has the prompts."""
    for side, name in enumerate("ab"):
        Path(name).mkdir()
        for number in range(PAIRS):
            Path(name, f"{number}.png").write_bytes(png(2 * number + side))
            Path("a", f"{number}.txt").write_text(f"a fox, number {number // 2}")
    return ["a", "b"]


class Serving:
    """A `ddecli collect` that runs, and who votes there."""

    def __init__(self, process: subprocess.Popen[str], address: str, said: str) -> None:
        self.process, self.address, self.said = process, address, said
        self.client = httpx.Client(base_url=address)

    def vote(self, voter: str, choices: list[str]) -> dict[str, Any]:
        """Vote on the next pairs; gives the state behind them."""
        state = self.client.get("state", params={"voter": voter}).json()
        for choice in choices:
            body = {"voter": voter, "pair": state["pair"]["id"], "choice": choice, "seconds": 2}
            state = self.client.post("vote", json=body).json()
        return dict(state)

    def end(self, number: int) -> tuple[int, str, str]:
        """Send a signal: exit code, what was printed, what was said."""
        self.process.send_signal(number)
        out, error = self.process.communicate(timeout=60)
        return self.process.returncode, out, error


@contextlib.contextmanager
def serving(*words: object) -> Iterator[Serving]:
    command = [sys.executable, "-m", "ddecli", "collect", *map(str, words), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        said = ""
        assert process.stderr is not None
        while not (found := re.search(r"http://127\.0\.0\.1:\d+/[\w-]+/", said)):
            line = process.stderr.readline()
            assert line, said
            said += line
        yield Serving(process, found[0], said)
    finally:
        process.kill()
        process.communicate()


def test_from_pictures_to_votes_to_a_trained_model(ddecli: Run, sd_folder: Path, folders: list[str]) -> None:
    with serving(*folders, "--out", "votes") as page:
        assert f"{PAIRS} pairs to vote on, in random order" in page.said
        page.vote("ann", ["left", "right", "left", "right", "left", "tie", "both bad"])
        state = page.vote("bob", ["left"] * PAIRS)
        assert state["pair"] is None and state["done"] == PAIRS
        code, out, error = page.end(signal.SIGINT)
    assert code == 0 and "Traceback" not in error
    assert f"{PAIRS} pairs voted on" in out
    way_on = "Run the same command again to go on. To train on these votes: ddecli prepare --model MODEL --data votes"
    assert error.splitlines()[-1] == way_on
    summary = json.loads(Path("votes/summary.json").read_text())
    assert (summary["votes"], summary["several"], summary["pairs"]) == (PAIRS + 7, 7, PAIRS)

    typed = ddecli("prepare", "--model", sd_folder, "--data", "votes", "--out", "store", "--json")
    assert typed.code == 0, typed.error
    table = pq.read_table("store/pairs.parquet")
    ties = summary["pairs"] - summary["decided"]
    assert table.num_rows == PAIRS - ties
    strengths = table["strength"].to_pylist()
    assert set(strengths) <= {0.75, 1.0} and len(set(strengths)) > 1
    given = ("--batch-size", 2, "--steps", 2, "--device", "cpu", "--labels", "soft", "--out", "run")
    typed = ddecli("train", "--model", sd_folder, "--data", "store", *given)
    assert typed.code == 0, typed.error


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_however_it_ends_the_same_command_goes_on(ddecli: Run, folders: list[str], number: int) -> None:
    with serving(*folders) as page:
        seen = page.vote("ann", ["left"] * 5)
        code, _, error = page.end(number)
    assert code == {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 0}[signal.Signals(number)]
    if number == signal.SIGTERM:
        assert error.splitlines()[-1].endswith("run the same command again to go on.")
    with serving(*folders) as page:
        assert "votes has 5 votes already" in page.said
        assert page.vote("ann", []) == seen | {"seconds_left": seen["seconds_left"]}
        assert page.vote("ann", ["right"] * 7)["done"] == PAIRS
    typed = ddecli("collect", "--summary", "--json")
    assert json.loads(typed.out)["votes"] == PAIRS


def test_two_servers_on_one_folder_of_votes(ddecli: Run, folders: list[str]) -> None:
    with serving(*folders) as page:
        page.vote("ann", ["left"])
        before = contents("votes")
        assert_one_sentence(
            ddecli("collect", *folders, "--port", "0"), "Another ddecli collect has votes open"
        )
        assert contents("votes") == before
        port = page.address.split(":")[2].split("/")[0]
        typed = ddecli("collect", *folders, "--port", port, "--out", "others")
        assert_one_sentence(typed, f"Port {port} cannot be used", "--port")
        assert page.vote("ann", ["left"])["done"] == 2


def test_the_order_is_said(folders: list[str]) -> None:
    with serving(*folders, "--order", "informative", "--limit", 5) as page:
        assert "5 pairs to vote on, first where votes are missing or divided" in page.said
        assert page.vote("ann", ["left"] * 5)["pair"] is None


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ((), ("Give a folder",)),
        (("none",), ("none does not exist",)),
        (("a", "a"), ("given twice",)),
        (("b",), ("has no image with a prompt", "--prompts")),
        (("a", "--prompts", "none.txt"), ("none.txt does not exist",)),
        (("a", "--prompt", " "), ("--prompt is empty",)),
        (("a", "b", "--out", "a"), ("a is not empty and holds no votes",)),
        (("a", "b", "--out", "a/0.png"), ("a/0.png",)),
        (("a", "b", "--port", "99999"), ("--port", "65535")),
        (("a/0.png",), ("is not a folder",)),
        (("--summary",), ("votes.jsonl does not exist",)),
    ],
)
def test_what_cannot_be_voted_on(
    ddecli: Run, folders: list[str], words: tuple[str, ...], parts: tuple[str, ...]
) -> None:
    before = contents(".")
    assert_one_sentence(ddecli("collect", *words), *parts)
    assert contents(".") == before


def test_damaged_votes_are_refused_and_left_alone(ddecli: Run, folders: list[str], sd_folder: Path) -> None:
    with serving(*folders) as page:
        page.vote("ann", ["left"] * 3)
    file = Path("votes/votes.jsonl")
    file.write_bytes(file.read_bytes().replace(b'"choice": "left"', b'"choice": "tie"', 1))
    before = contents("votes")
    for words in (
        ("collect", *folders),
        ("collect", "--summary"),
        ("prepare", "--model", sd_folder, "--data", "votes"),
    ):
        assert_one_sentence(ddecli(*words), "votes.jsonl is damaged at line 1", "remove that line")
    assert contents("votes") == before


def test_without_the_extra_it_says_how_to_get_it(
    ddecli: Run, folders: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import ddecli.collect.ask as asking

    monkeypatch.setattr(asking, "find_spec", lambda name: None)
    assert_one_sentence(ddecli("collect", *folders), "pip install 'ddecli[collect]'")
    assert not Path("votes").exists()
