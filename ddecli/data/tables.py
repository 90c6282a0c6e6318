"""Parquet tables that are written and read a bounded number of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

ROWS_AT_ONCE = 16_384
"""Rows of a row group: what is held in memory."""


class TableWriter:
    """Appends rows to a parquet file."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.schema = schema
        self.count = 0
        self._writer = pq.ParquetWriter(path, schema)
        self._rows: list[tuple[Any, ...]] = []

    def add(self, *values: Any) -> None:
        """Append a row, its values in the order of the columns."""
        self._rows.append(values)
        self.count += 1
        if len(self._rows) == ROWS_AT_ONCE:
            self._flush()

    def close(self) -> None:
        """Write what is left, and the file's end."""
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._rows:
            columns = zip(*self._rows, strict=True)
            arrays = [
                pa.array(values, type=field.type) for values, field in zip(columns, self.schema, strict=True)
            ]
            self._writer.write_table(pa.table(arrays, schema=self.schema))
        self._rows = []


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a table."""
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=1024):
            yield from batch.to_pylist()


def read_tuples(path: Path, columns: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """The rows of a table as values of some columns, in their order; None for a column that it lacks."""
    with pq.ParquetFile(path) as file:
        there = [name for name in columns if name in file.schema_arrow.names]
        for batch in file.iter_batches(batch_size=1024, columns=there):
            values = batch.to_pydict()
            yield from zip(*(values.get(name, [None] * len(batch)) for name in columns), strict=True)
