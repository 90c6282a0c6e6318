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
