"""The run folder: which run it holds, and whether another may go on in it."""

from __future__ import annotations

import shutil
from pathlib import Path

from ddecli.core.errors import UserError
from ddecli.core.files import make_folder, read_yaml, sha256_file
from ddecli.core.paths import readable_file
from ddecli.core.scratch import clear_stale
from ddecli.models.kohya import lora_files
from ddecli.models.locate import local_folder, revision_of, sha256_of
from ddecli.models.presets import resolve
from ddecli.training.checkpoint import count_checkpoints, latest_step
from ddecli.training.record import step_of
from ddecli.training.settings import BEFORE, OF_MODEL, TrainSettings, read_settings

MAY_CHANGE = {
    "steps", "micro_batch_size", "device", "checkpoint_every", "gradient_checkpointing", "holdout", "holdout_pairs",
    "evaluate_every", "credit_gradients", "reference", "lora_format", "report_to", "sample_every", "sample_prompts",
    "sample_metric", "sample_scorer",
}  # fmt: skip
"""Settings that a resumed run may change: its results stay the same up to rounding."""
ALARMS = "alarms.json"
"""The alarms that have rung."""
LAST_WRITTEN = ("credit.npz", "perf.json", "model")
"""What a run writes when its steps are done."""
SAMPLES = "samples.jsonl"
"""A line a contact sheet: what its images score, and how far they lie from each other."""
WATCHED, TOKEN = ("samples", "tensorboard"), "tracking.json"
"""Folders of what was seen of a run while it was trained, and the file by which trackers know it again."""


def with_pairs(settings: TrainSettings) -> TrainSettings:
    """Note which pairs the run is trained on; a run.yaml that names other pairs cannot be repeated."""
    manifest = Path(settings.data or "") / "manifest.json"
    found = sha256_file(manifest) if manifest.is_file() else None
    if settings.pairs_sha256 not in (None, found):
        raise UserError(
            f"{settings.data} holds other pairs than those of the run to repeat: prepare them again."
        )
    return settings.model_copy(update={"pairs_sha256": found})


def with_model(settings: TrainSettings, resume: bool) -> TrainSettings:
    """Note which weights the run starts from; a run.yaml that names other weights cannot be repeated.

    A run on a model of the hub goes on with the revision it was started from, whatever its main branch holds now.
    """
    file, revision = settings.folder / "run.yaml", settings.model_revision
    if resume and revision is None and file.is_file():
        before = read_settings(file)
        revision = before.model_revision if before.model == settings.model else None
    source = resolve(settings.model, revision)
    folder = local_folder(source)
    found = sha256_of(source, folder)
    if settings.model_sha256 not in (None, found):
        raise UserError(
            f"The weights of {settings.model} are not those of the run to repeat (its model_sha256): put the weights "
            "back that it was trained on, or give --model to start from others."
        )
    noted = {"model_sha256": found, "model_revision": revision_of(source, folder)}
    if settings.reference_model is not None:
        other = resolve(settings.reference_model)
        noted["reference_sha256"] = sha256_of(other, local_folder(other))
        if settings.reference_sha256 not in (None, noted["reference_sha256"]):
            raise UserError(
                f"The weights of {settings.reference_model} are not those of the reference of the run to repeat (its "
                "reference_sha256): put the weights back."
            )
    return settings.model_copy(update=noted)


def is_other_run(settings: TrainSettings, resume: bool, overwrite: bool) -> bool:
    """Whether the run folder holds a run of other settings or pairs, which may be replaced.

    Raises:
        UserError: two runs would be mixed in one folder, or it cannot be gone on with.
    """
    out = make_folder(settings.folder)
    clear_stale(out / "checkpoints")
    if not (out / "run.yaml").exists():
        return False
    if not (resume or overwrite):
        state = "a finished run" if (out / "model").is_dir() else "an unfinished run"
        raise UserError(f"{out} holds {state}: add --resume to go on with it, or choose another --out.")
    before = read_settings(out / "run.yaml")
    may_change = MAY_CHANGE - ({"steps"} if overwrite else set()) | _unnamed(out)
    for name, value in before.model_dump(exclude=may_change).items():
        if name in OF_MODEL and (value is None or name == "model_revision"):
            continue  # not noted by earlier versions; and another revision may hold the same weights
        if name == "beta" and settings.beta == "auto" and before.beta_share is not None:
            continue  # it came to this
        if getattr(settings, name) != value:
            if overwrite:
                return True
            if name == "model_sha256":
                raise UserError(
                    f"The weights of {settings.model} have changed since {out} was started from them: put the old ones "
                    "back, choose another --out, or start again with --overwrite."
                )
            raise begun_otherwise(settings, name, value)
    _check_steps(settings)
    return False


def begun_otherwise(settings: TrainSettings, name: str, before: object) -> UserError:
    """What to say where a run was started with another value of a setting."""
    return UserError(
        f"{settings.folder} was started with {name} {before!r}, not {getattr(settings, name)!r}: "
        "resume with the same settings, choose another --out, or replace it with --overwrite."
    )


def as_begun(settings: TrainSettings) -> TrainSettings:
    """A run that began before there was some setting goes on as it began, and one that measured some with those."""
    out = settings.folder
    changed = {name: BEFORE[name] for name in _unnamed(out)}
    measured = [name for name in ("beta", "micro_batch_size") if getattr(settings, name) == "auto"]
    if measured and (out / "run.yaml").exists():
        before = read_settings(out / "run.yaml")
        changed |= {name: getattr(before, name) for name in measured}
    return settings.model_copy(update=changed)


def _unnamed(out: Path) -> set[str]:
    """Settings of BEFORE that a run's run.yaml does not name."""
    file = out / "run.yaml"
    return BEFORE.keys() - read_yaml(file).keys() if file.exists() else set()


def is_finished(settings: TrainSettings) -> bool:
    """Whether the run folder holds all that a run of so many steps leaves, and nothing is left to do.

    A longer run than the one that wrote the model has its own checkpoint beside the one it went on from, until its
    model is written.
    """
    out, checkpoints = settings.folder, settings.folder / "checkpoints"
    return (
        all((out / name).exists() for name in ("run.yaml", *LAST_WRITTEN))
        and count_checkpoints(checkpoints) <= 1
        and latest_step(checkpoints) in (None, settings.steps)
        and _logged_steps(out) == settings.steps
        and all((out / "model" / name).exists() for name in _lora_files(settings))
    )


def _lora_files(settings: TrainSettings) -> list[str]:
    """The files of weights that a LoRA run leaves; none of a run that began before there was a choice."""
    out = settings.folder
    if settings.lora is None or "lora_format" not in read_yaml(out / "run.yaml"):
        return []
    return lora_files(settings.lora_format, out.resolve().name)


def _check_steps(settings: TrainSettings) -> None:
    """A run never goes back: its weights would be those of more steps than it says."""
    out, done = settings.folder, latest_step(settings.folder / "checkpoints")
    if done is not None and done > settings.steps:
        raise UserError(
            f"{out} has done {done} steps already, more than --steps {settings.steps}: resume with no fewer, choose "
            "another --out, or replace it with --overwrite."
        )
    if done is None and (out / "model").exists() and not is_finished(settings):
        raise UserError(
            f"{out} holds a finished run of {_logged_steps(out)} steps without its checkpoints, from which it would go "
            "on: choose another --out, or remove its model to begin again."
        )


def _logged_steps(out: Path) -> int:
    log = out / "metrics.jsonl"
    lines = readable_file(log).read_bytes().split(b"\n") if log.is_file() else []
    steps = (step_of(line) for line in reversed(lines))
    return next((step + 1 for step in steps if step is not None), 0)


def clear(out: Path) -> None:
    """Remove a run, and nothing else that lies in its folder."""
    for name in ("checkpoints", "model", *WATCHED):
        shutil.rmtree(out / name, ignore_errors=True)
    for name in (
        "run.yaml",
        "metrics.jsonl",
        "holdout.jsonl",
        SAMPLES,
        ALARMS,
        "credit.npz",
        "perf.json",
        TOKEN,
    ):
        (out / name).unlink(missing_ok=True)
