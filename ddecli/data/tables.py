"""Parquet tables that are written and read a bounded number of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
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
        self._columns: list[list[Any]] = [[] for _ in schema.names]

    def add(self, *values: Any) -> None:
        """Append a row, its values in the order of the columns."""
        for column, value in zip(self._columns, values, strict=True):
            column.append(value)
        self.count += 1
        if len(self._columns[0]) == ROWS_AT_ONCE:
            self._flush()

    def close(self) -> None:
        """Write what is left, and the file's end."""
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._columns[0]:
            arrays = [
                pa.array(values, type=field.type)
                for values, field in zip(self._columns, self.schema, strict=True)
            ]
            self._writer.write_table(pa.table(arrays, schema=self.schema))
        self._columns = [[] for _ in self.schema.names]


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a table."""
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=1024):
            yield from batch.to_pylist()
