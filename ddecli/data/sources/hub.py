"""A data set of the Hugging Face hub, streamed: its parquet shards or tars, a part each, never all on disk.

Only the columns that are needed are fetched of a parquet shard, a row group at a time. Where the data set has
neither, the hub's own conversion to parquet is read.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

from ddecli.core.errors import UserError
from ddecli.core.hub import gated, hub_problem
from ddecli.data.pairs import Pair, Rejects
from ddecli.data.sources.base import Part, Source, Wanted
from ddecli.data.sources.names import NICKNAMES
from ddecli.data.sources.parquet import columns_of, open_parquet, rows_to_pairs
from ddecli.data.sources.split_names import of_split, split_of
from ddecli.data.sources.subsets import (
    choose_subset,
    rows_of_card,
    subsets_of_card,
    subsets_of_conversion,
)
from ddecli.data.sources.webdataset import first_layout, is_tar, tar_part

CONVERTED = "refs/convert/parquet"


def hub_source(name: str, wanted: Wanted) -> Source:
    """The pairs of a data set, by its hub id (owner/name) or nickname.

    The files of one commit are read, however long that takes: the manifest names it.

    Raises:
        UserError: no such data set, no access, no network, or no files that can be read.
    """
    repository = NICKNAMES.get(name, name)
    with _explained(repository):
        info = _info(repository, None)
        card = info.card_data or {}
        files = {file.rfilename: file.size for file in info.siblings or []}
        subsets = subsets_of_card(card, _readable(files))
        subset = choose_subset(subsets, wanted.subset, card, repository) if subsets else wanted.subset
        if subset is None or not subsets.get(subset):
            info = _converted(repository)
            files = {file.rfilename: file.size for file in info.siblings or []}
            subsets = subsets_of_conversion(_parquets(files))
            if not subsets:
                raise UserError(
                    f"{repository} has no parquet files and no tars of pairs: fetch it (hf download --repo-type "
                    f"dataset {repository}), unpack its archives and give its folder."
                )
            subset = choose_subset(subsets, subset, card, repository)
        splits = {file: split or split_of(file) for file, split in subsets[subset].items()}
        chosen = of_split(splits, wanted.split, repository)
        prefix = f"datasets/{repository}@{info.sha}"
        make = _tar if is_tar(chosen[0]) else _parquet
        parts = [make(repository, f"{prefix}/{file}", files[file], wanted) for file in chosen]
        opened = partial(_open, f"{prefix}/{chosen[0]}")
        if is_tar(chosen[0]):
            layout = first_layout(chosen[0], opened, wanted)
        else:
            with opened() as file, open_parquet(file) as parquet:
                layout = columns_of(parquet, wanted, f"{repository}/{chosen[0]}").layout
    kind = "tar" if is_tar(chosen[0]) else "parquet file"
    of_subset = f", subset {subset}" if len(subsets) > 1 else ""
    return Source(
        name=f"{repository}@{info.sha[:12]}{of_subset}",
        layout=f"{len(chosen)} {kind}{'s'[: len(chosen) != 1]} of the hub{of_subset}: {layout}",
        parts=parts,
        rows=rows_of_card(card, subset, {splits[file] for file in chosen}),
    )


def _readable(files: Iterable[str]) -> list[str]:
    """The parquet files among some files, else the tars, unless these hold a list's pictures, as HPDv2's do."""
    tars = [] if "train.json" in files else [file for file in sorted(files) if is_tar(file)]
    return _parquets(files) or tars


def _parquets(files: Iterable[str]) -> list[str]:
    return [file for file in sorted(files) if file.endswith(".parquet")]


@contextlib.contextmanager
def _explained(repository: str) -> Iterator[None]:
    """Say in one sentence what the hub's client raises (its own errors, httpx's and the system's alike)."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise _refusal(repository, error) from error


def _refusal(name: str, error: Exception) -> UserError:
    problem = hub_problem(error)
    if problem == "gated":
        return gated(name, "dataset")
    if problem == "missing":
        return UserError(
            f"There is no file or folder {name} here, and the hub has no data set {name} (or HF_TOKEN may not see "
            "it): give a path, or the id of a copy as owner/name."
        )
    if problem == "offline":
        return UserError(f"{name} is on the hub, but HF_HUB_OFFLINE is set: unset it, or give a folder.")
    reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
    return UserError(
        f"{name} cannot be read from the hub ({reason}): without a network, fetch it where there is one "
        f"(hf download --repo-type dataset {name}) and give its folder."
    )


def _info(repository: str, revision: str | None) -> Any:
    from huggingface_hub import HfApi

    return HfApi().dataset_info(repository, revision=revision, files_metadata=True)


def _converted(repository: str) -> Any:
    """The hub's conversion to parquet; an empty listing where there is none."""
    from types import SimpleNamespace

    from huggingface_hub.errors import RevisionNotFoundError

    try:
        return _info(repository, CONVERTED)
    except RevisionNotFoundError:
        return SimpleNamespace(siblings=[], sha="")


def _open(path: str) -> Any:
    from huggingface_hub import HfFileSystem

    return HfFileSystem().open(path, "rb")


def _parquet(repository: str, path: str, size: int | None, wanted: Wanted) -> Part:
    def read(rejects: Rejects) -> Iterator[Pair]:
        name = path.removeprefix("datasets/")
        with _explained(repository), _open(path) as file, open_parquet(file) as parquet:
            yield from rows_to_pairs(parquet, columns_of(parquet, wanted, name), rejects, name, None)

    return Part(path.rpartition("/")[2], read, None, size)


def _tar(repository: str, path: str, size: int | None, wanted: Wanted) -> Part:
    part = tar_part(path.removeprefix("datasets/"), partial(_open, path), wanted, size)

    def read(rejects: Rejects) -> Iterator[Pair]:
        with _explained(repository):
            yield from part.read(rejects)

    return Part(part.name, read, None, size)
