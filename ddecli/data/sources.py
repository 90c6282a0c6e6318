"""Which source a path is, and its pairs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from ddecli.core.errors import UserError
from ddecli.data import folder, parquet
from ddecli.data.pairs import Pair, Rejects


def open_source(path: Path, mapping: Mapping[str, str], rejects: Rejects) -> tuple[Iterator[Pair], int]:
    """Pairs of a folder with metadata, of a parquet file, or of a folder of parquet shards.

    Args:
        path: the folder or file.
        mapping: canonical -> actual column names.
        rejects: collects the rows that are no pairs.

    Returns:
        The pairs, read as they are asked for, and the number of rows they come from.

    Raises:
        UserError: there is nothing that can be read at `path`.
    """
    if not path.exists():
        raise UserError(f"{path} does not exist. Give --data a folder, a parquet file, or world.")
    metadata = folder.metadata_file(path) if path.is_dir() else None
    if path.name in folder.METADATA_NAMES:
        metadata = path
    if metadata is not None:
        columns, count = folder.inspect(metadata, mapping)
        return folder.folder_pairs(metadata, columns, rejects), count
    files = parquet.shards(path)
    if not files or (path.is_file() and path.suffix != ".parquet"):
        raise UserError(
            f"{path} holds no pairs: expected {' or '.join(folder.METADATA_NAMES)} beside the pictures, "
            "or *.parquet files."
        )
    count = parquet.check(files, mapping)
    return parquet.parquet_pairs(files, mapping, rejects), count
