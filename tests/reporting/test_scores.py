"""What is on disk is read whole or refused in one sentence."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from score_sets import score_set, write

from ddecli.core.errors import UserError
from ddecli.reporting.scores import load_scores


@pytest.fixture
def folder(tmp_path):
    values = np.arange(8.0).reshape(4, 2)
    return write(score_set("x", {"clip": values, "diversity": values[:, 0]}), tmp_path / "base")


def rewrite(folder, **columns):
    table = pq.read_table(folder / "scores.parquet").to_pydict() | columns
    pq.write_table(pa.table(table), folder / "scores.parquet")


def test_folder_and_file_hold_the_same(folder):
    from_folder, from_file = load_scores(folder), load_scores(folder / "scores.parquet")
    assert from_folder.name == str(folder)
    assert from_folder.metrics == from_file.metrics == ["clip", "diversity"]
    np.testing.assert_array_equal(from_folder.metric("clip").prompt_means(), [0.5, 2.5, 4.5, 6.5])
    assert from_folder.protocol["steps"] == 15


def test_names_as_prompt_ids_and_no_image_index(folder):
    rewrite(folder, prompt_id=[f"p{n % 4}" for n in range(12)], image_index=[0] * 4 + [1] * 4 + [None] * 4)
    scores = load_scores(folder)
    assert scores.metric("diversity").prompt_id.tolist() == ["p0", "p1", "p2", "p3"]
    assert scores.metric("diversity").image_index.tolist() == [-1] * 4


def test_missing_scores(tmp_path):
    with pytest.raises(UserError, match=r"scores\.parquet does not exist: score the images first"):
        load_scores(tmp_path)


def test_missing_card(folder):
    (folder / "scores.json").unlink()
    with pytest.raises(UserError, match=r"scores\.json does not exist"):
        load_scores(folder)


def test_card_without_protocol(folder):
    (folder / "scores.json").write_text(json.dumps({"scorers": {}}))
    with pytest.raises(UserError, match="lacks its protocol or its scorers"):
        load_scores(folder)


def test_damaged_file(folder):
    whole = (folder / "scores.parquet").read_bytes()
    (folder / "scores.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="cannot be read as a table of prompt_id"):
        load_scores(folder)


def test_missing_column(folder):
    pq.write_table(
        pq.read_table(folder / "scores.parquet").drop_columns(["score"]), folder / "scores.parquet"
    )
    with pytest.raises(UserError, match="cannot be read as a table of prompt_id"):
        load_scores(folder)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), None])
def test_a_score_that_is_no_number(folder, bad):
    rewrite(folder, score=[1.0, bad, *[1.0] * 10])
    with pytest.raises(
        UserError, match="1 scores that are no finite numbers, the first for clip, prompt 0, image 1"
    ):
        load_scores(folder)


def test_an_image_scored_twice(folder):
    rewrite(folder, image_index=[0, 0, *[0, 1] * 3, *[-1] * 4])
    with pytest.raises(UserError, match="two scores for clip, prompt 0, image 0"):
        load_scores(folder)


def test_no_scores(folder):
    pq.write_table(pq.read_table(folder / "scores.parquet").slice(0, 0), folder / "scores.parquet")
    with pytest.raises(UserError, match="holds no scores"):
        load_scores(folder)
