"""Which source something is: a path here, or a data set of the hub."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ddecli.core.errors import UserError
from ddecli.core.paths import readable_file
from ddecli.data.sources.base import Source, Wanted
from ddecli.data.sources.captioned import captioned_source
from ddecli.data.sources.hub import hub_source
from ddecli.data.sources.json_list import json_list_source, split_list
from ddecli.data.sources.label_studio import label_studio_source
from ddecli.data.sources.names import is_hub_name, missing
from ddecli.data.sources.pair_folders import pair_folders_source, side_folders
from ddecli.data.sources.parquet import parquet_source
from ddecli.data.sources.rows import rows_source
from ddecli.data.sources.split_names import DEFAULT
from ddecli.data.sources.votes import votes_source
from ddecli.data.sources.webdataset import is_tar, webdataset_source
from ddecli.data.store import MANIFEST, read_manifest
from ddecli.data.votes import is_votes

TABLES = (".jsonl", ".csv", ".tsv")


def open_source(data: str | Path, wanted: Wanted = Wanted()) -> Source:
    """Recognise what `data` is. What lies here wins over the hub.

    Raises:
        UserError: there is nothing that can be read.
    """
    path = Path(data)
    if path.is_dir() or (path.exists() and readable_file(path)):
        if wanted.subset is not None:
            raise UserError(
                f"{path} lies here, and --subset is for data sets of the hub: give --data the folder of "
                f"{wanted.subset}."
            )
        return replace(_local(path, wanted), name=str(path.resolve()), winners_only=wanted.winners_only)
    if is_hub_name(str(data)):
        return replace(hub_source(str(data), wanted), winners_only=wanted.winners_only)
    raise missing(str(path))


def _local(path: Path, wanted: Wanted) -> Source:
    _refuse_store(path if path.is_dir() else path.parent)
    for recognise in _FOLDERS if path.is_dir() else _FILES:
        found = recognise(path, wanted)
        if found is not None:
            return found
    if wanted.winners_only:
        raise UserError(
            f"{path} holds no pictures with captions: expected pictures with a .txt each, metadata.jsonl or "
            "metadata.csv beside them, *.parquet, *.tar, or one *.jsonl or *.csv file."
        )
    raise UserError(
        f"{path} holds no pairs: expected metadata.jsonl or metadata.csv beside the pictures, w/ and l/ with "
        "pictures of equal names, the votes of ddecli collect, *.parquet, *.tar, train.json, or one *.jsonl or *.csv "
        "file; what Label Studio exported is given as a file."
    )


def _refuse_store(folder: Path) -> None:
    """Say of a pair store, whose tables look like data, that it needs no preparing."""
    if not (folder / MANIFEST).is_file() or not (folder / "pairs.parquet").is_file():
        return
    manifest = read_manifest(folder)
    model, source = manifest["model"]["name"], manifest["source"]
    raise UserError(
        f"{folder} is a pair store, prepared already for the model {model}: give it to ddecli train --data. To prepare "
        f"its pairs for another model, give the data it was made from ({source})."
    )


Recognise = Callable[[Path, Wanted], Source | None]


def _parquet_file(path: Path, wanted: Wanted) -> Source | None:
    return parquet_source(path, wanted) if path.suffix.lower() == ".parquet" else None


def _table_file(path: Path, wanted: Wanted) -> Source | None:
    return rows_source(path, wanted) if path.suffix.lower() in TABLES else None


def _json_file(path: Path, wanted: Wanted) -> Source | None:
    return json_list_source(path, wanted) if path.suffix.lower() == ".json" else None


def _tar_file(path: Path, wanted: Wanted) -> Source | None:
    return webdataset_source(path, wanted) if is_tar(path.name) else None


def _votes(path: Path, wanted: Wanted) -> Source | None:
    return votes_source(path, wanted) if is_votes(path) else None


def _imagefolder(path: Path, wanted: Wanted) -> Source | None:
    for folder in (path, path / (wanted.split or DEFAULT)):
        for name in ("metadata.jsonl", "metadata.csv"):
            if (folder / name).is_file():
                return rows_source(folder / name, wanted, layout=f"pictures with {name}")
        if (folder / "metadata.parquet").is_file():
            return parquet_source(folder / "metadata.parquet", wanted)
    return None


def _captioned(path: Path, wanted: Wanted) -> Source | None:
    return captioned_source(path) if wanted.winners_only else None


def _pair_folders(path: Path, wanted: Wanted) -> Source | None:
    if wanted.winners_only:
        return None
    sides = side_folders(path)
    return pair_folders_source(path, sides) if sides else None


def _json_folder(path: Path, wanted: Wanted) -> Source | None:
    file = split_list(path, wanted.split)
    return json_list_source(file, wanted) if file else None


def _parquet_folder(path: Path, wanted: Wanted) -> Source | None:
    return parquet_source(path, wanted) if any(path.rglob("*.parquet")) else None


def _tar_folder(path: Path, wanted: Wanted) -> Source | None:
    return webdataset_source(path, wanted) if any(is_tar(file.name) for file in path.rglob("*")) else None


def _table_folder(path: Path, wanted: Wanted) -> Source | None:
    files = sorted(file for file in path.iterdir() if file.suffix.lower() in TABLES)
    if len(files) > 1:
        raise UserError(f"{path} has {', '.join(file.name for file in files)}: give --data one of them.")
    return (label_studio_source(files[0], wanted) or rows_source(files[0], wanted)) if files else None


_FILES: tuple[Recognise, ...] = (label_studio_source, _parquet_file, _table_file, _json_file, _tar_file)
_FOLDERS: tuple[Recognise, ...] = (
    _votes,
    _imagefolder,
    _captioned,
    _pair_folders,
    _json_folder,
    _parquet_folder,
    _tar_folder,
    _table_folder,
)
"""In the order in which they are tried: what says most of itself comes first."""
