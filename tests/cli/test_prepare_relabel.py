"""`ddecli prepare --relabel` as it is typed: which scorers decide, alone or by majority, and what is a tie."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli_checks import assert_one_sentence, contents

from ddecli.data.store import PairStore, StoredPair

Run = Callable[..., Any]


@pytest.fixture
def relabelled(ddecli: Run, world_folder: Path) -> Callable[..., PairStore]:
    """A store of 16 votes of the world, with these options."""

    def made(out: str, *words: object) -> PairStore:
        typed = ddecli("prepare", "--model", world_folder, "--limit", 16, "--out", out, *words, "--json")
        assert typed.code == 0, typed.error
        return PairStore.open(Path(json.loads(typed.out)["out"]))

    return made


def pairs_of(store: PairStore) -> dict[str, StoredPair]:
    return {pair.pair_id: pair for pair in map(store.pair, range(len(store)))}


def votes(store: PairStore, plain: dict[str, StoredPair]) -> dict[str, int]:
    """Of each pair whether a store has it as the world has it (1), the other way round (-1), or not (0)."""
    found = pairs_of(store)
    return {
        name: 0 if name not in found else 1 if found[name].chosen_sha256 == pair.chosen_sha256 else -1
        for name, pair in plain.items()
    }


def test_the_majority_of_the_tiny_worlds_scorers_decides(relabelled: Callable[..., PairStore]) -> None:
    plain = pairs_of(relabelled("plain", "--relabel", "none"))
    assert all(pair.score_gap is None for pair in plain.values())
    metrics = ("clip", "pickscore", "truth")
    alone = {metric: relabelled(metric, "--relabel", metric) for metric in metrics}
    assert alone["pickscore"].manifest["relabel"]["model"] == "tiny/pickscore"
    assert all(pair.score_gap > 0 for pair in pairs_of(alone["pickscore"]).values())
    words = [word for metric in metrics for word in ("--relabel", metric)]
    store = relabelled("majority", *words)
    own = {metric: votes(alone[metric], plain) for metric in metrics}
    lead = {name: sum(own[metric][name] for metric in metrics) for name in plain}
    assert len({tuple(own[metric][name] for metric in metrics) for name in plain}) > 2  # they do not agree
    assert votes(store, plain) == {name: (sum_ > 0) - (sum_ < 0) for name, sum_ in lead.items()}
    for name, pair in pairs_of(store).items():
        assert pair.score_gap == pytest.approx(abs(lead[name]) / 3)
        # Three votes of three, two of three, or two of two and a scorer that finds both equal.
        of_winner = sum(
            {1: 1.0, 0: 0.5, -1: 0.0}[own[metric][name] * (1 if lead[name] > 0 else -1)] for metric in metrics
        )
        assert pair.strength == pytest.approx(of_winner / 3)
    assert (
        store.strengths is not None and 0.6 < float(store.strengths.min()) < float(store.strengths.max()) == 1
    )
    assert all(pair.strength is None for pair in pairs_of(alone["pickscore"]).values())
    said = store.manifest["relabel"]
    assert said["name"] == "majority" and [card["name"] for card in said["scorers"]] == list(metrics)
    assert said["scorers"][1] == alone["pickscore"].manifest["relabel"]


def test_smaller_gaps_than_the_threshold_are_ties(relabelled: Callable[..., PairStore]) -> None:
    every = pairs_of(relabelled("every", "--relabel", "pickscore"))
    gaps = sorted(pair.score_gap for pair in every.values() if pair.score_gap is not None)
    least = gaps[len(gaps) // 2]
    store = relabelled("some", "--relabel", "pickscore", "--relabel-threshold", least)
    large = {
        name: pair for name, pair in every.items() if pair.score_gap is not None and pair.score_gap >= least
    }
    assert pairs_of(store) == large and 0 < len(large) < len(every)
    assert store.manifest["dropped"]["tie"] >= len(every) - len(large)
    assert store.manifest["relabel"]["threshold"] == pytest.approx(least)
    silent = ("--relabel-threshold", "clip=1e9")
    assert (
        pairs_of(relabelled("same", "--relabel", "pickscore", "--relabel", "clip", *silent)).keys()
        == every.keys()
    )


WRONG = {
    "--relabel nothing": "There is no metric 'nothing': choose from clip, hps,",
    "--relabel none --relabel clip": "--relabel none stands alone: leave it out, or --relabel clip.",
    "--relabel imagereward": "The tiny world has no imagereward: leave it out, or take the real one with --scorer",
    "--relabel soft-tifa": "--relabel soft-tifa needs questions about each prompt, which pairs do not come with",
    "--relabel clip --relabel hps --relabel-threshold 0.1": "write METRIC=X, as in clip=0.1.",
    "--relabel clip --relabel-threshold hps=0.1": "needs a scorer that decides: it is one of clip.",
    "--relabel-threshold 0.1": "needs a scorer that decides: none is given with --relabel.",
    "--relabel clip --relabel-threshold many": "--relabel-threshold many must be a number from 0 on",
    "--relabel clip --relabel-threshold -1": "--relabel-threshold -1 must be a number from 0 on",
    "--relabel clip --relabel-threshold nan": "--relabel-threshold nan must be a number from 0 on",
    "--relabel pickscore --relabel-threshold 1e9": "has no usable pair: tie: ",
}


@pytest.mark.parametrize("words", WRONG)
def test_what_cannot_decide_is_refused_in_a_sentence(words: str, ddecli: Run, world_folder: Path) -> None:
    typed = ddecli("prepare", "--model", world_folder, "--limit", 6, "--out", "store", *words.split())
    assert_one_sentence(typed, WRONG[words])
    assert contents(".") == {}
