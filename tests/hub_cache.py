"""A Hugging Face cache in the hub's own layout, filled by hand, with the network switched off."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

REVISION = "0123456789abcdef0123456789abcdef01234567"
AddToHub = Callable[..., Path]


def make_hub(cache: Path, monkeypatch: pytest.MonkeyPatch) -> AddToHub:
    """Use `cache` as the only hub; returns `add(repository, folder, repo_type="model")`, which gives the snapshot."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    def add(repository: str, folder: Path, repo_type: str = "model") -> Path:
        home = cache / f"{repo_type}s--{repository.replace('/', '--')}"
        (home / "refs").mkdir(parents=True, exist_ok=True)
        (home / "refs" / "main").write_text(REVISION)
        return Path(shutil.copytree(folder, home / "snapshots" / REVISION, dirs_exist_ok=True))

    return add
