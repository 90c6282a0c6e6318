"""Prompts from tables of parquet."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ddecli.core.errors import UserError
from ddecli.core.prompts import read_prompts


def test_prompts_of_a_parquet_file(tmp_path: Path) -> None:
    file = tmp_path / "prompts.parquet"
    pq.write_table(pa.table({"number": [1, 2, 3], "prompt": ["a star", None, "two rings"]}), file)
    assert read_prompts(file) == ["a star", "", "two rings"]
    pq.write_table(pa.table({"prompt": pa.array([3, 4])}), file)
    with pytest.raises(UserError, match=r"prompts\.parquet, row 1: the prompt must be a text, not int"):
        read_prompts(file)
    file.write_bytes(b"no table")
    with pytest.raises(UserError, match=r"prompts\.parquet cannot be read as parquet"):
        read_prompts(file)


def test_a_column_that_is_there_twice_is_named(tmp_path: Path) -> None:
    table = pa.table({"caption": ["a cat"]})
    pq.write_table(table.append_column("caption", table["caption"]), tmp_path / "prompts.parquet")
    with pytest.raises(UserError, match=r"prompts\.parquet cannot be read as parquet .*caption"):
        read_prompts(tmp_path / "prompts.parquet")
