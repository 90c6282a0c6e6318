"""A Hugging Face cache in the hub's own layout, filled by hand, with the network switched off."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

REVISION = "0123456789abcdef0123456789abcdef01234567"
OTHER_REVISION = "fedcba9876543210fedcba9876543210fedcba98"
AddToHub = Callable[..., Path]


def make_hub(cache: Path, monkeypatch: pytest.MonkeyPatch) -> AddToHub:
    """Use `cache` as the only hub; returns `add(repository, folder, repo_type="model", ...)`.

    It gives the snapshot, which is the newest of the branch or tag `name` then.
    """
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    def add(
        repository: str, folder: Path, repo_type: str = "model", revision: str = REVISION, name: str = "main"
    ) -> Path:
        home = cache / f"{repo_type}s--{repository.replace('/', '--')}"
        (home / "refs").mkdir(parents=True, exist_ok=True)
        (home / "refs" / name).write_text(revision)
        return Path(shutil.copytree(folder, home / "snapshots" / revision, dirs_exist_ok=True))

    return add


def linked_snapshot(repository: Path, folder: Path) -> Path:
    """A folder as the hub's client leaves it in its cache: every file is a link into the repository's blobs."""
    snapshot, blobs = repository / "snapshots" / REVISION, repository / "blobs"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(REVISION)
    blobs.mkdir()
    for file in (file for file in folder.rglob("*") if file.is_file()):
        content = file.read_bytes()
        blob, place = blobs / hashlib.sha256(content).hexdigest(), snapshot / file.relative_to(folder)
        blob.write_bytes(content)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(os.path.relpath(blob, place.parent))
    return snapshot
