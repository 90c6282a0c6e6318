"""The run folder: which run it holds, and whether another may go on in it."""

from __future__ import annotations

import shutil
from pathlib import Path

from ddecli.core.errors import UserError
from ddecli.core.files import make_folder, sha256_file
from ddecli.core.scratch import clear_stale
from ddecli.training.settings import TrainSettings, read_settings

MAY_CHANGE = {
    "steps", "micro_batch_size", "device", "checkpoint_every", "gradient_checkpointing", "holdout", "holdout_pairs",
    "evaluate_every",
}  # fmt: skip
"""Settings that a resumed run may change: its results stay the same up to rounding."""


def with_pairs(settings: TrainSettings) -> TrainSettings:
    """Note which pairs the run is trained on; a run.yaml that names other pairs cannot be repeated."""
    manifest = Path(settings.data or "") / "manifest.json"
    found = sha256_file(manifest) if manifest.is_file() else None
    if settings.pairs_sha256 not in (None, found):
        raise UserError(
            f"{settings.data} holds other pairs than those of the run to repeat: prepare them again."
        )
    return settings.model_copy(update={"pairs_sha256": found})


def is_other_run(settings: TrainSettings, resume: bool, overwrite: bool) -> bool:
    """Whether the run folder holds a run of other settings or pairs, which may be replaced.

    Raises:
        UserError: two runs would be mixed in one folder.
    """
    out = make_folder(settings.folder)
    clear_stale(out / "checkpoints")
    if not (out / "run.yaml").exists():
        return False
    if not (resume or overwrite):
        state = "a finished run" if (out / "model").is_dir() else "an unfinished run"
        raise UserError(f"{out} holds {state}: add --resume to go on with it, or choose another --out.")
    before = read_settings(out / "run.yaml")
    may_change = MAY_CHANGE - ({"steps"} if overwrite else set())
    for name, value in before.model_dump(exclude=may_change).items():
        if getattr(settings, name) != value:
            if overwrite:
                return True
            raise UserError(
                f"{out} was started with {name} {value!r}, not {getattr(settings, name)!r}: "
                "resume with the same settings, choose another --out, or replace it with --overwrite."
            )
    return False


def clear(out: Path) -> None:
    """Remove a run, and nothing else that lies in its folder."""
    for name in ("checkpoints", "model"):
        shutil.rmtree(out / name, ignore_errors=True)
    for name in ("run.yaml", "metrics.jsonl", "holdout.jsonl", "credit.npz", "perf.json"):
        (out / name).unlink(missing_ok=True)
