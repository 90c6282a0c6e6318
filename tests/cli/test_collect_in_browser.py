"""From pictures to votes in a real browser, by the keyboard alone, and on to a model that is trained and scored."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from browser import Page, chromium, collecting, needs_chromium

from ddecli.data.votes import read_votes

Run = Callable[..., Any]
pytestmark = needs_chromium
CPU = ("--device", "cpu")


def done(ddecli: Run, *words: object) -> str:
    typed = ddecli(*words)
    assert typed.code == 0, typed.error
    return str(typed.out)


def test_from_keys_to_a_scored_model(ddecli: Run, world_folder: Path, tmp_path: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    choices = {
        "left": Keys.ARROW_LEFT,
        "right": Keys.ARROW_RIGHT,
        "tie": Keys.ARROW_DOWN,
        "both bad": Keys.ARROW_UP,
    }
    (tmp_path / "prompts.txt").write_text("\n".join(f"a fox, number {number}" for number in range(8)))
    short = ("--prompts", "prompts.txt", "--steps", 1, "--guidance-scale", 1, *CPU)
    done(ddecli, "sample", world_folder, "--images-per-prompt", 2, "--out", "before", *short)
    said = ["left", "right", "tie", "both bad", "left", "right", "left", "right"]
    with chromium() as driver, collecting(tmp_path, "before", "--out", "votes") as (address, _):
        page = Page(driver, address)
        page.begin("Ann")
        for number, choice in enumerate(said[:4]):
            assert page.text("prompt").startswith("a fox, number")
            page.press(choices[choice])
            page.ready(number + 1)
            assert len(read_votes(tmp_path / "votes")) == number + 1  # before the next pair could be voted on
        shown = page.script("pair.id")
        page.press("u")
        page.ready(3)
        page.press("u")
        page.ready(2)
        for number, choice in enumerate(said[2:4], 2):
            page.press(choices[choice])
            page.ready(number + 1)
        assert page.script("pair.id") == shown
        driver.refresh()  # a page that is opened again goes on
        page.ready(4)
        assert page.script("pair.id") == shown and "Ann" in page.text("who")
        for number, choice in enumerate(said[4:], 4):
            page.press(choices[choice])
            page.ready(number + 1)
        assert "all 8 pairs" in page.text("thanks") and "left" not in page.text("count")
        assert [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE"] == []
        resources = page.script("performance.getEntriesByType('resource').map((entry) => entry.name)")
        assert resources and all(name.startswith(address) for name in resources)
    votes = read_votes(tmp_path / "votes")
    assert [vote.choice for vote in votes] == said
    assert all(vote.seconds is not None and 0 <= vote.seconds < 60 for vote in votes)

    prepared = json.loads(
        done(ddecli, "prepare", "--model", world_folder, "--data", "votes", "--out", "store", "--json", *CPU)
    )
    assert prepared["pairs"] == 6
    train = ("train", "--model", world_folder, "--data", "store", "--out", "run", "--batch-size", 2)
    done(ddecli, *train, "--steps", 2, "--noise", "kept", *CPU)
    done(ddecli, "sample", "run", "--images-per-prompt", 2, "--out", "after", *short)
    score = json.loads(
        done(ddecli, "score", "after", "--against", "before", "--metric", "clip", "--json", *CPU)
    )
    assert score["against"] == "before"
    assert 0 <= score["comparison"][0]["beat_ratio"] <= 1
