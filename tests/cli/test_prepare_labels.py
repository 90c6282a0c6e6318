"""What says which picture was preferred, through `ddecli prepare`: read, or counted against `--max-bad`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cli_checks import assert_one_sentence
from pair_data import png

from ddecli.data.store import PairStore

Run = Callable[..., Any]


def shard(labels: list[Any]) -> Path:
    """Pick-a-Pic's columns with some labels; pictures 2i and 2i + 1."""
    rows = [
        {"caption": f"prompt {i}", "jpg_0": png(2 * i), "jpg_1": png(2 * i + 1), "label_0": label}
        for i, label in enumerate(labels)
    ]
    pq.write_table(pa.Table.from_pylist(rows), "pairs.parquet")
    return Path("pairs.parquet")


def chosen(store: str) -> list[int]:
    """Numbers of the preferred pictures."""
    known = {hashlib.sha256(png(number)).hexdigest(): number for number in range(12)}
    pairs = PairStore.open(Path(store))
    return [known[pairs.pair(i).chosen_sha256] for i in range(len(pairs))]


@pytest.mark.parametrize("labels", [["True", "False", "True"], ["win", "lose", "win"], ["1", "0", "1.0"]])
def test_labels_as_text(ddecli: Run, sd_folder: Path, labels: list[str]) -> None:
    typed = ddecli("prepare", "--model", sd_folder, "--data", shard(labels), "--out", "store", "--json")
    assert typed.code == 0, typed.error
    assert chosen("store") == [0, 3, 4]


def test_what_is_no_label_counts_as_bad(ddecli: Run, sd_folder: Path) -> None:
    data = shard(["1", "0", "left", "right", None, ""])
    typed = ddecli("prepare", "--model", sd_folder, "--data", data, "--out", "store")
    assert_one_sentence(typed, "2 of 6 rows are bad", "unreadable label", "store.bad-rows.jsonl")
    listed = [json.loads(line) for line in Path("store.bad-rows.jsonl").read_text().splitlines()]
    assert [bad["detail"] for bad in listed] == [
        f"column label_0 says {word!r}" for word in ("left", "right")
    ]
    typed = ddecli(
        "prepare", "--model", sd_folder, "--data", data, "--out", "store", "--max-bad", 0.4, "--json"
    )
    assert typed.code == 0, typed.error
    assert json.loads(typed.out)["dropped"] == {"unreadable label": 2, "not labelled": 2}


def test_votes_against_the_order_of_the_pictures_decide_and_are_counted(ddecli: Run, sd_folder: Path) -> None:
    for number in range(6):
        Path(f"{number}.png").write_bytes(png(number))
    rows = [
        {"prompt": f"p{i}", "path1": f"{2 * i}.png", "path2": f"{2 * i + 1}.png", "choice_dist": votes}
        for i, votes in enumerate(([9, 3], [3, 9], None))
    ]
    Path("train.json").write_text(json.dumps(rows))
    arguments = ("prepare", "--model", sd_folder, "--data", "train.json", "--out")
    typed = ddecli(*arguments, "store", "--json")
    assert typed.code == 0, typed.error
    note = "votes contradict the order of the pictures, and decide"
    assert json.loads(typed.out)["notes"] == {note: 1}
    assert chosen("store") == [0, 3, 4]
    assert PairStore.open(Path("store")).manifest["notes"] == {note: 1}
    said = " ".join(ddecli(*arguments, "again").out.replace("│", " ").split())
    assert f"1: {note}" in said
    manifest = json.loads(Path("store/manifest.json").read_text())
    del manifest["notes"], manifest["content_sha256"]  # as stores of earlier versions are
    Path("store/manifest.json").write_text(json.dumps(manifest))
    typed = ddecli(*arguments, "store", "--json")
    assert typed.code == 0, typed.error
    assert json.loads(typed.out)["notes"] == {}
