"""Where a model's files lie, of the hub as well, and which weights they are. Imports neither diffusers nor peft."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import RevisionNotFoundError

from ddecli.core.errors import UserError
from ddecli.core.hub import gated, hub_problem
from ddecli.models.digests import model_sha256
from ddecli.models.parts import INDEX, PARTS, is_whole, needed_files
from ddecli.models.presets import ModelSource


def local_folder(source: ModelSource, parts: Sequence[str] | None = None) -> Path:
    """The diffusers folder a model's files lie in.

    Of a hub id the files that are loaded are downloaded once, or taken from the local cache; a checkpoint file is
    converted once.

    Args:
        parts: what is needed of a hub id; all parts if not given.
    """
    path = Path(source.location)
    if path.is_dir():
        return path
    if path.is_file():
        from ddecli.models.single_file import pipeline_folder  # which takes diffusers

        return pipeline_folder(path)
    if not source.location.count("/") == 1 or source.location.startswith("/"):
        raise UserError(f"{source.location} does not exist. Is the package installed whole?")
    return _from_hub(source.location, source.revision, parts)


def revision_of(source: ModelSource, folder: Path) -> str | None:
    """The commit of the hub that a model's files are of; None of a folder, a file or a built-in model."""
    return None if Path(source.location).exists() else folder.name  # as the hub's cache names its snapshots


def sha256_of(source: ModelSource, folder: Path) -> str:
    """Identify all weights of a model, see `model_sha256`: those in its folder, and a run's LoRA weights on top."""
    return model_sha256(folder, source.loras)


def _from_hub(hub_id: str, revision: str | None, parts: Sequence[str] | None) -> Path:
    """The files of a repository that parts are loaded from, and no others: it may hold them many times over."""
    try:
        names = [file.rfilename for file in HfApi().model_info(hub_id, revision=revision).siblings or []]
        needed = needed_files(names, parts or PARTS)
        return Path(snapshot_download(hub_id, revision=revision, allow_patterns=needed))
    except Exception as error:
        folder = _cached(hub_id, revision, parts)
        if folder is not None:
            return folder
        raise _not_there(hub_id, revision, error) from error


def _cached(hub_id: str, revision: str | None, parts: Sequence[str] | None) -> Path | None:
    """What an earlier command, or another program, left in the cache, if every part is there."""
    try:
        found = snapshot_download(hub_id, revision=revision, allow_patterns=[INDEX], local_files_only=True)
    except (OSError, ValueError):
        return None
    folder = Path(found)
    return folder if (folder / INDEX).is_file() and is_whole(folder, parts) else None


def _not_there(hub_id: str, revision: str | None, error: Exception) -> UserError:
    if isinstance(error, RevisionNotFoundError):
        return UserError(
            f"{hub_id} has no revision {revision} on the hub: give a commit, a branch or a tag of it."
        )
    problem = hub_problem(error)
    if problem == "gated":
        return gated(hub_id)
    if problem == "missing":
        return UserError(f"The hub has no model {hub_id} (or HF_TOKEN may not see it).")
    name, option = (f"{hub_id}@{revision}", f" --revision {revision}") if revision else (hub_id, "")
    return UserError(
        f"{name} is not in the local cache and the hub cannot be reached. Download it where there is a "
        f"network (hf download {hub_id}{option}) and give its folder, or set HF_HOME to a cache that has it."
    )
