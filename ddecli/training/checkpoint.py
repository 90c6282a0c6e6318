"""Complete states of a run: written whole or not at all, the last two kept, damaged ones passed over."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ddecli.core.console import console
from ddecli.core.errors import UserError
from ddecli.core.files import atomic_folder, read_json, sha256_file, write_json

KEPT = 2
STATE = "state.json"
FILES = ("trainable.safetensors", "optimizer.pt", "progress.safetensors")


def save_checkpoint(
    folder: Path,
    step: int,
    trainable: dict[str, Tensor],
    optimizer: dict[str, Any],
    progress: dict[str, Tensor],
) -> None:
    """Write `folder/step-NNNNNN` and remove all but the last two.

    Args:
        step: optimizer steps done.
        trainable: the trained parameters by name.
        optimizer: its state dict.
        progress: everything else a resumed run needs (delayed table, credit map).

    Raises:
        UserError: it cannot be written (full disk); the checkpoints before it stay whole.
    """
    with atomic_folder(folder / f"step-{step:06d}") as temporary:
        save_file(
            {key: value.detach().cpu().contiguous() for key, value in trainable.items()}, temporary / FILES[0]
        )
        with (temporary / FILES[1]).open("wb") as file:
            torch.save(optimizer, file)
        save_file(progress, temporary / FILES[2])
        write_json(
            temporary / STATE,
            {"step": step, "files": {name: sha256_file(temporary / name) for name in FILES}},
        )
    for old in _checkpoints(folder)[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)


def load_checkpoint(
    folder: Path, device: torch.device
) -> tuple[int, dict[str, Tensor], dict[str, Any], dict[str, Tensor]] | None:
    """The newest whole checkpoint as (step, trainable, optimizer, progress), or None if there is none at all.

    Raises:
        UserError: there are checkpoints, but all are damaged.
    """
    found = _checkpoints(folder)
    for path in reversed(found):
        if not _is_whole(path):
            console.print(f"{path} is damaged and is passed over.", style="yellow")
            continue
        optimizer = torch.load(path / FILES[1], weights_only=True, map_location=device)
        return int(path.name[5:]), load_file(path / FILES[0]), optimizer, load_file(path / FILES[2])
    if found:
        raise UserError(
            f"Every checkpoint in {folder} is damaged; remove the folder and start the run again."
        )
    return None


def latest_step(folder: Path) -> int | None:
    """Optimizer steps of the newest checkpoint, whole or not; None if there is none."""
    found = _checkpoints(folder)
    return int(found[-1].name[5:]) if found else None


def _checkpoints(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-[0-9]*"), key=lambda path: int(path.name[5:]))


def _is_whole(path: Path) -> bool:
    try:
        files = read_json(path / STATE)["files"]
        return all(sha256_file(path / name) == digest for name, digest in files.items())
    except (UserError, OSError, KeyError, TypeError):
        return False
