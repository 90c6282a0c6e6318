"""Complete states of a run: written whole or not at all, the last two kept, damaged ones passed over."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel
from safetensors.torch import load_file, save_file
from torch import Tensor

from ddecli.core.console import console
from ddecli.core.errors import NotPermitted, UserError
from ddecli.core.files import atomic_folder, read_json, sha256_file, write_json

KEPT = 2
STATE = "state.json"
FILES = ("trainable.safetensors", "optimizer.pt", "progress.safetensors")
AVERAGE = "weight-average.safetensors"
REFERENCE = "reference.safetensors"


class _State(BaseModel):
    """What of state.json is needed."""

    files: dict[str, str]


@dataclass(frozen=True)
class Checkpoint:
    """The complete state of a run after some steps.

    step: optimizer steps done.
    trainable: the trained parameters by name.
    optimizer: its state dict.
    progress: everything else a resumed run needs (delayed table, credit map).
    average: the moving average of the parameters, of runs that keep one.
    reference: that which is the reference, of runs whose reference moves.
    """

    step: int
    trainable: dict[str, Tensor]
    optimizer: dict[str, Any]
    progress: dict[str, Tensor]
    average: dict[str, Tensor] | None = None
    reference: dict[str, Tensor] | None = None


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write `folder/step-NNNNNN` and remove all but the last two.

    Raises:
        UserError: it cannot be written (full disk); the checkpoints before it stay whole.
    """
    with atomic_folder(folder / f"step-{checkpoint.step:06d}") as temporary:
        _save_tensors(checkpoint.trainable, temporary / FILES[0])
        with (temporary / FILES[1]).open("wb") as file:
            torch.save(checkpoint.optimizer, file)
        _save_tensors(checkpoint.progress, temporary / FILES[2])
        for name, tensors in ((AVERAGE, checkpoint.average), (REFERENCE, checkpoint.reference)):
            if tensors is not None:
                _save_tensors(tensors, temporary / name)
        digests = {file.name: sha256_file(file) for file in sorted(temporary.iterdir())}
        write_json(temporary / STATE, {"step": checkpoint.step, "files": digests})
    remove_all_but_last(folder, KEPT)


def remove_all_but_last(folder: Path, kept: int) -> None:
    """Remove all but the last `kept` checkpoints of a folder."""
    for old in _checkpoints(folder)[:-kept]:
        shutil.rmtree(old, ignore_errors=True)


def load_checkpoint(folder: Path, device: torch.device) -> Checkpoint | None:
    """The newest whole checkpoint, or None if there is none at all; the optimizer's state is put on `device`.

    Raises:
        UserError: there are checkpoints, but all are damaged.
    """
    found = _checkpoints(folder)
    for path in reversed(found):
        if not _is_whole(path):
            console.print(f"{path} is damaged and is passed over.", style="yellow")
            continue
        return Checkpoint(
            step=int(path.name[5:]),
            trainable=load_file(path / FILES[0]),
            optimizer=torch.load(path / FILES[1], weights_only=True, map_location=device),
            progress=load_file(path / FILES[2]),
            average=load_file(path / AVERAGE) if (path / AVERAGE).exists() else None,
            reference=load_file(path / REFERENCE) if (path / REFERENCE).exists() else None,
        )
    if found:
        raise UserError(
            f"Every checkpoint in {folder} is damaged; remove the folder and start the run again."
        )
    return None


def latest_step(folder: Path) -> int | None:
    """Optimizer steps of the newest checkpoint, whole or not; None if there is none."""
    found = _checkpoints(folder)
    return int(found[-1].name[5:]) if found else None


def count_checkpoints(folder: Path) -> int:
    """Checkpoints of a folder, whole or not."""
    return len(_checkpoints(folder))


def _save_tensors(tensors: dict[str, Tensor], file: Path) -> None:
    save_file({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, file)


def _checkpoints(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-[0-9]*"), key=lambda path: int(path.name[5:]))


def _is_whole(path: Path) -> bool:
    try:
        state = read_json(path / STATE, _State)
        return set(FILES) <= set(state["files"]) and all(
            sha256_file(path / name) == digest for name, digest in state["files"].items()
        )
    except NotPermitted:
        raise
    except (UserError, OSError):
        return False
