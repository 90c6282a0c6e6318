"""What is on disk is read whole or refused in one sentence."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from peak_memory import peak_memory
from score_sets import change_card, score_set, write

from ddecli.core import scores
from ddecli.core.errors import UserError
from ddecli.core.ledger import noting
from ddecli.core.scores import load_scores, load_skipped


@pytest.fixture
def folder(tmp_path):
    values = np.arange(8.0).reshape(4, 2)
    return write(score_set("x", {"clip": values, "diversity": values / 8}), tmp_path / "base")


@pytest.fixture
def old(folder):
    """A folder of an earlier version, which noted no digests."""
    return change_card(folder)


def rewrite(folder, **columns):
    table = pq.read_table(folder / "scores.parquet").to_pydict() | columns
    pq.write_table(pa.table(table), folder / "scores.parquet")


def test_folder_and_file_hold_the_same(folder):
    from_folder, from_file = load_scores(folder), load_scores(folder / "scores.parquet")
    assert from_folder.name == str(folder)
    assert list(from_folder.metrics) == list(from_file.metrics) == ["clip", "diversity"]
    np.testing.assert_array_equal(from_folder.metric("clip").prompt_means(), [0.5, 2.5, 4.5, 6.5])
    assert from_folder.protocol["steps"] == 15


def test_scores_are_sorted_by_prompt_and_image(old):
    table = pq.read_table(old / "scores.parquet")
    pq.write_table(table.take(np.random.default_rng(0).permutation(len(table))), old / "scores.parquet")
    clip = load_scores(old).metric("clip")
    assert clip.prompt_id.tolist() == sorted(clip.prompt_id.tolist())
    assert clip.image_index.tolist() == [0, 1] * 4
    np.testing.assert_array_equal(clip.score, np.arange(8.0))


@pytest.mark.parametrize("column", ["prompt_id", "image_index", "metric"])
def test_a_score_of_no_image(old, column):
    values = pq.read_table(old / "scores.parquet").column(column).to_pylist()
    rewrite(old, **{column: [None, *values[1:]]})
    with pytest.raises(UserError, match=f"cannot be read as a table of .* \\(a {column} is missing\\)"):
        load_scores(old)


def test_what_was_skipped_is_read_back(folder):
    assert load_skipped(folder) == [] and not (folder / "scores-skipped.jsonl").exists()
    row = {"file": "ä.png", "reason": "unreadable", "detail": "cut off"}
    write(replace(load_scores(folder), skipped=[row]), folder)
    assert load_skipped(folder) == [row]
    assert json.loads((folder / "scores.json").read_text())["skipped"] == 1
    (folder / "scores-skipped.jsonl").unlink()
    with pytest.raises(UserError, match=r"scores-skipped\.jsonl does not exist"):
        load_skipped(folder)
    write(replace(load_scores(folder), skipped=[]), folder)  # nothing is left of an earlier list
    assert load_skipped(folder) == [] and not (folder / "scores-skipped.jsonl").exists()
    write(replace(load_scores(folder), skipped=[row]), folder)
    change_card(folder)
    (folder / "scores-skipped.jsonl").write_text("{")
    with pytest.raises(UserError, match=r"scores-skipped\.jsonl is damaged at line 1"):
        load_skipped(folder)


def test_missing_scores(tmp_path):
    with pytest.raises(UserError, match=r"scores\.parquet does not exist: score the images first"):
        load_scores(tmp_path)


def test_missing_card(folder):
    (folder / "scores.json").unlink()
    with pytest.raises(UserError, match=r"scores\.json does not exist"):
        load_scores(folder)


def test_card_without_protocol(folder):
    (folder / "scores.json").write_text(json.dumps({"scorers": {}}))
    with pytest.raises(
        UserError, match=r"scores.json is damaged \(protocol: field required\); score the images again"
    ):
        load_scores(folder)


@pytest.mark.parametrize("name", ["scores.parquet", "scores.json", "scores-skipped.jsonl"])
def test_a_flipped_bit_is_noticed(folder, name):
    write(replace(load_scores(folder), skipped=[{"file": "a.png", "reason": "r", "detail": ""}]), folder)
    good = (folder / name).read_bytes()
    values, refused = load_scores(folder).metric("clip").score, 0
    for byte in range(0, len(good), max(1, len(good) // 40)):
        damaged = bytearray(good)
        damaged[byte] ^= 1
        (folder / name).write_bytes(damaged)
        try:
            found, _ = load_scores(folder), load_skipped(folder)
        except UserError:
            refused += 1
        else:  # what flipped may be a line break, or the name of the digest
            np.testing.assert_array_equal(found.metric("clip").score, values)
    assert refused >= 30


def test_a_file_without_its_card_is_of_another_folder(folder, tmp_path):
    other = write(score_set("y", {"clip": np.ones((4, 2))}), tmp_path / "other")
    (folder / "scores.parquet").write_bytes((other / "scores.parquet").read_bytes())
    with pytest.raises(
        UserError, match=r"scores\.parquet has changed since it was written: score the images again"
    ):
        load_scores(folder)


def test_scores_say_what_they_were_read_from(folder):
    with noting() as read:
        load_scores(folder)
    for name in ("scores.parquet", "scores.json"):
        assert read[str(folder / name)] == hashlib.sha256((folder / name).read_bytes()).hexdigest()


def test_damaged_file(old):
    whole = (old / "scores.parquet").read_bytes()
    (old / "scores.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="cannot be read as a table of prompt_id"):
        load_scores(old)


def test_missing_column(old):
    pq.write_table(pq.read_table(old / "scores.parquet").drop_columns(["score"]), old / "scores.parquet")
    with pytest.raises(UserError, match="cannot be read as a table of prompt_id"):
        load_scores(old)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), None])
def test_a_score_that_is_no_number(old, bad):
    rewrite(old, score=[1.0, bad, *[1.0] * 14])
    with pytest.raises(
        UserError,
        match="1 scores that are no finite numbers, the first for clip, prompt 000000000000, image 1",
    ):
        load_scores(old)


def test_an_image_scored_twice(old):
    rewrite(old, image_index=[0, 0, *[0, 1] * 7])
    with pytest.raises(UserError, match="two scores for clip, prompt 000000000000, image 0"):
        load_scores(old)


def test_no_scores(old):
    pq.write_table(pq.read_table(old / "scores.parquet").slice(0, 0), old / "scores.parquet")
    with pytest.raises(UserError, match="holds no scores"):
        load_scores(old)


def test_a_text_that_is_none(old):
    rewrite(old, prompt_id=list(range(16)))
    with pytest.raises(UserError, match="a prompt_id is no text"):
        load_scores(old)


def test_a_few_bytes_that_unpack_to_more_than_scores_have(old):
    """Refused by what the table says of itself, before it is read."""
    rows = scores.MAX_ROWS + 1
    few = {"prompt_id": "a", "metric": "clip"}
    columns = {name: pa.DictionaryArray.from_arrays(np.zeros(rows, np.int32), [few[name]]) for name in few}
    table = pa.table(columns | {"image_index": np.zeros(rows, np.int32), "score": np.zeros(rows, np.float32)})
    pq.write_table(table, old / "scores.parquet", compression="zstd")
    assert (old / "scores.parquet").stat().st_size < 200_000
    before = "import pyarrow.parquet\nfrom ddecli.core.scores import UserError, load_scores"
    work = f"""
try:
    load_scores({str(old)!r})
except UserError as error:
    assert "4,000,001 rows, at most 4,000,000 are read" in str(error), error
else:
    raise AssertionError
"""
    assert peak_memory(before, work) < 32 * 2**20
    long = "a" * 2**22
    pq.write_table(
        pa.table(
            {"prompt_id": [long] * 2, "image_index": [0, 1], "metric": ["clip"] * 2, "score": [1.0, 2.0]}
        ),
        old / "scores.parquet",
    )
    with pytest.raises(UserError, match="4,1.* bytes for 2 scores"):
        load_scores(old)


def test_a_table_of_many_rows_is_read_whole(old, monkeypatch):
    """Across batches and row groups, with texts that each writes anew."""
    monkeypatch.setattr(scores, "ROWS_AT_ONCE", 3)
    before = load_scores(old)
    table = pq.read_table(old / "scores.parquet")
    for options in ({"row_group_size": 5}, {"use_dictionary": False}):
        pq.write_table(table, old / "scores.parquet", **options)
        after = load_scores(old)
        for name, found in before.metrics.items():
            for field in ("prompt_id", "image_index", "score"):
                np.testing.assert_array_equal(getattr(after.metrics[name], field), getattr(found, field))
