"""What is kept of the reference's errors, as far as the names of files tell. Imports no torch: a dry run asks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ddecli.core.files import sha256_file
from ddecli.objectives.registry import known_loss
from ddecli.training.settings import TrainSettings


def kept_beside(store: Path) -> Path:
    """The folder of all errors of references on the draws from a pair store."""
    return store.with_name(f"{store.name}-reference")


def of_settings(settings: TrainSettings) -> dict[str, Any]:
    """What errors of the reference are kept by, as far as a run's settings tell it."""
    loss = known_loss(settings.loss)
    return {
        "seed": settings.seed,
        "timesteps": [loss.timesteps, settings.gamma if loss.timesteps == "discounted" else None],
        "segment": settings.segment,
        "prompt": [settings.prompt_dropout, settings.dropped_prompt],
        "size_condition": settings.size_condition,
        **({"noise": settings.noise} if settings.noise != "fresh" else {}),
    }


def first_and_end(file: Path) -> tuple[int, int]:
    """Number of the first draw whose errors a file holds, and of the first behind them; both are in its name.

    Raises:
        ValueError: it has another name.
    """
    start, stop, _ = file.stem.split("-")
    return int(start), int(stop)


def say_kept(settings: TrainSettings, store: Path) -> str | None:
    """How many draws of a run have their reference's errors kept; None if none have, or the run asks for none.

    The names of files are looked at, and neither the weights of the base nor what the machine computes with.
    """
    loss, manifest = known_loss(settings.loss), store / "manifest.json"
    moves = settings.reference_ema is not None or settings.is_game or settings.reference_model is not None
    asks_more = getattr(loss.objective, "needs_distance", False)  # and none are kept
    if settings.reference == "compute" or moves or asks_more or not loss.has_reference:
        return None
    draws, folder = settings.steps * settings.batch_size, kept_beside(store)
    found = 0
    if manifest.is_file():
        wanted = of_settings(settings) | {"pairs_sha256": sha256_file(manifest)}
        found = max((_draws(key.parent, draws) for key in folder.glob("*/key.json") if _fits(key, wanted, settings)),
                    default=0)  # fmt: skip
    return said(found, draws, folder, settings) if found else None


def said(found: int, draws: int, folder: Path, settings: TrainSettings) -> str:
    """One sentence: what the errors that are kept save."""
    if found < draws:
        rest = f"{draws - found:,} will be computed"
        return f"Of the reference's errors on {draws:,} draws {found:,} are kept in {folder} and will be read, {rest}."
    others = settings.holdout is not None or settings.credit_gradients is not None
    why = (
        "for held-out pairs and gradients alone a reference is loaded" if others else "no reference is loaded"
    )
    return f"The reference's errors on all {draws:,} draws are kept in {folder} and will be read: {why}."


def _fits(key: Path, wanted: dict[str, Any], settings: TrainSettings) -> bool:
    try:
        kept = json.loads(key.read_text(encoding="utf-8"))
        own = {name: kept[name] for name in wanted} == wanted
        return (
            own
            and settings.micro_batch_size in ("auto", kept["micro_batch"][1])
            and settings.model_sha256 in (None, kept["model_sha256"])
        )
    except (OSError, ValueError, LookupError, TypeError):
        return False  # training does not read it either


def _draws(folder: Path, draws: int) -> int:
    """How many of the first draws have errors in a folder."""
    count = end = 0
    for file in sorted(folder.glob("*-*-*.npy")):
        try:
            start, stop = first_and_end(file)
        except ValueError:
            continue
        count += max(0, min(stop, draws) - max(start, end))
        end = max(end, stop)
    return count
