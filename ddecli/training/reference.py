"""The reference's errors, paid for once: kept beside the pair store for every run that makes the same draws.

Draw `n` of a seed is the same pair, timestep and noise in every run, and the reference never learns: its two errors
there depend on no beta and no learning rate, and on a loss by how it draws timesteps alone. What a run computes is
kept; the next one reads it, and where all is there it loads no reference at all.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ddecli.core.console import console
from ddecli.core.errors import UserError
from ddecli.core.files import atomic_file, make_folder, sha256_text, write_json
from ddecli.models.base import DiffusionModel
from ddecli.objectives.base import Objective
from ddecli.training.kept import first_and_end, kept_beside, of_settings
from ddecli.training.settings import TrainSettings

FORMAT = 1
MOST = 2**27
"""Draws of a run that are held in memory, 8 bytes each; of one that makes more nothing is kept."""


def key_of(
    settings: TrainSettings, model: DiffusionModel, share: int, device: torch.device, dtype: torch.dtype
) -> dict[str, Any]:
    """All that the errors of a draw depend on, to the last bit: another key never reads them.

    Kernels round by the shape of a micro-batch, and so it is among them, with the device and torch's version.

    Args:
        model: of the run. The settings tell of its weights, and not of its schedule and its U-Net's settings.
        share: pairs of a batch that are this process's, which it cuts into micro-batches.
    """
    schedule = model.schedule
    unet = {name: value for name, value in model.pipeline.unet.config.items() if not name.startswith("_")}
    on = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return {
        "format": FORMAT,
        "model_sha256": settings.model_sha256,
        "pairs_sha256": settings.pairs_sha256,
        **of_settings(settings),
        "unet_sha256": sha256_text(json.dumps(unet, sort_keys=True, default=str)),
        "schedule_sha256": _digest(schedule.alphas_cumprod.numpy(force=True).tobytes()),
        "error": [schedule.prediction_type, schedule.error_of],
        "micro_batch": [share, settings.micro_batch],
        "precision": [str(dtype), settings.compile],
        "machine": [on, torch.get_num_threads(), torch.__version__, torch.backends.cpu.get_cpu_capability()],
    }


def can_be_kept(objective: Objective, settings: TrainSettings) -> bool:
    """Whether other runs could read the reference's errors: nothing else is asked of it, and it is the run's start."""
    is_start = settings.reference_ema is None and settings.reference_model is None
    return objective.needs_reference and not objective.needs_distance and is_start


class ReferenceErrors:
    """The errors of one reference on the draws of one seed.

    A file holds those of draws that follow each other, `(n, 2)` float32, winner and loser; its name says which, and
    the digest of what it holds. Files are written whole and never changed: runs that go on at the same time share them.

    Attributes:
        read, computed: draws of this run whose errors were there, and that were not.
    """

    def __init__(self, folder: Path, draws: range, may_write: bool = True, key: str = "{}") -> None:
        """Read what there is.

        Args:
            draws: that the run will make.
            may_write: whether what is computed is kept.
            key: as JSON, for people who look into the folder.
        """
        self.folder, self.first = folder, draws.start
        self.may_write, self.key = may_write, key
        self.read = self.computed = 0
        self._errors = np.full((len(draws), 2), np.nan, np.float32)
        self._new: list[tuple[int, np.ndarray]] = []
        for start, values in self._files():
            low, high = max(start, draws.start), min(start + len(values), draws.stop)
            if low < high:
                self._errors[low - draws.start : high - draws.start] = values[low - start : high - start]

    @classmethod
    def of(cls, settings: TrainSettings, draws: range, *key: Any) -> ReferenceErrors | None:
        """Those of a run, as its `reference` has it; None where nothing is kept, or nothing is known to keep it by.

        Args:
            key: see `key_of`.
        """
        known = settings.data and settings.pairs_sha256 and settings.model_sha256
        if settings.reference == "compute" or not known or len(draws) > MOST:
            return None
        text = json.dumps(key_of(settings, *key), sort_keys=True)
        folder = kept_beside(Path(str(settings.data))) / sha256_text(text)[:16]
        return cls(folder, draws, settings.reference == "keep", text)

    @property
    def is_whole(self) -> bool:
        """Whether no draw of the run is missing."""
        return self.there == len(self._errors)

    @property
    def there(self) -> int:
        """How many of the run's draws have their errors."""
        return int((~np.isnan(self._errors).any(axis=1)).sum())

    def __call__(self, draws: range) -> Tensor | None:
        """(2, B) float32 of these draws, on the CPU; None if one is missing."""
        found = self._errors[draws.start - self.first : draws.stop - self.first]
        if len(found) < len(draws) or np.isnan(found).any():
            return None
        return torch.from_numpy(found.T.copy())

    def add(self, first: int, errors: Tensor) -> None:
        """Take note of what a step's draws have, from number `first` on, read or computed. errors: (B, 2)."""
        values = errors.numpy(force=True).astype(np.float32)
        inside = self._errors[first - self.first : first - self.first + len(values)]
        is_new = np.isnan(inside).any(axis=1)
        self.computed += int(is_new.sum())
        self.read += int((~is_new).sum())
        if is_new.any():
            inside[:] = values
            self._new.append((first, values))

    def keep(self) -> None:
        """Write what is new. Where that cannot be, it is said once, and training goes on without."""
        if not self._new:
            return
        joined, self._new = list(_joined(self._new)), []
        if not self.may_write:
            return
        try:
            make_folder(self.folder)
            if not (self.folder / "key.json").exists():
                write_json(self.folder / "key.json", json.loads(self.key))
            for start, values in joined:
                data = io.BytesIO()
                np.save(data, values, allow_pickle=False)
                name = f"{start:010d}-{start + len(values):010d}-{_digest(data.getvalue())}.npy"
                with atomic_file(self.folder / name) as temporary:
                    temporary.write_bytes(data.getvalue())
        except (OSError, UserError) as error:
            self.may_write = False
            console.print(f"The reference's errors are not kept for other runs: {error}", highlight=False)

    def _files(self) -> Iterator[tuple[int, np.ndarray]]:
        """First draw and errors of every whole file; one that is damaged is left out, and computed again."""
        try:
            files = sorted(self.folder.glob("*-*-*.npy"))
        except OSError:
            return
        for file in files:
            try:
                start, stop = first_and_end(file)
                data = file.read_bytes()
                if _digest(data) != file.stem.rpartition("-")[2]:
                    raise ValueError
                values = np.load(io.BytesIO(data), allow_pickle=False)
                if values.shape != (stop - start, 2) or values.dtype != np.float32:
                    raise ValueError
                yield start, values
            except (OSError, ValueError):
                console.print(f"{file} is damaged: what it held is computed again.", highlight=False)


def _joined(parts: list[tuple[int, np.ndarray]]) -> Iterator[tuple[int, np.ndarray]]:
    """Runs of draws that follow each other, each as one."""
    runs: list[tuple[int, list[np.ndarray]]] = []
    for first, values in parts:
        if runs and runs[-1][0] + sum(map(len, runs[-1][1])) == first:
            runs[-1][1].append(values)
        else:
            runs.append((first, [values]))
    for first, each in runs:
        yield first, np.concatenate(each)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
