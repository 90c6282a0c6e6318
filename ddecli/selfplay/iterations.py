"""Self-play and semi-policy: train, let a model of the run draw the losers, train again.

SPIN-Diffusion (Yuan et al. 2024, arXiv 2402.10210): iteration `k` prefers the data's pictures to those of iteration
`k - 1`, which is the reference as well. With other losses it is the same game with their logit.

SePPO (Zhang et al. 2024, arXiv 2410.05255): iteration `k` goes on from the model of iteration `k - 1`, and one of the
models saved so far, the first and those of iterations 1 to `k - 1`, each as likely, draws the losers and is the
reference. Reconstructed from summaries, which have a checkpoint every 30 updates, and seven of them; there it is one
training, here every iteration is a run of its own, whose optimizer and warm-up begin anew.

    RUN/pairs-K       the pairs of iteration K, see `store.py`
    RUN/iteration-K   the run of every iteration but the last, which is RUN itself
    RUN/self-play.yaml  the settings of the whole, semi-policy or not
"""

from __future__ import annotations

import gc
from pathlib import Path

import torch
import yaml
from accelerate import Accelerator

from ddecli.core.console import console
from ddecli.core.errors import UserError
from ddecli.core.files import make_folder, write_text
from ddecli.core.limits import MAX_SEED
from ddecli.core.run_files import WHOLE
from ddecli.core.seeds import numpy_rng, seed_of
from ddecli.data.store import PairStore
from ddecli.models.load import load_for_sampling
from ddecli.selfplay.store import Opponent, SelfPlayStore
from ddecli.training.loop import train
from ddecli.training.precision import start_processes, training_dtype
from ddecli.training.run_folder import MAY_CHANGE, begun_otherwise
from ddecli.training.run_record import TrainSummary
from ddecli.training.settings import TrainSettings, read_settings
from ddecli.training.watcher import Watch, Watcher


def play(
    settings: TrainSettings, resume: bool = False, overwrite: bool = False, watch: Watch = Watcher
) -> TrainSummary:
    """Train every iteration, each from the model of the one before.

    What is finished is left as it is; a stopped one goes on within its losers and from its checkpoints, and ends in
    the same model. Every iteration has the same settings, and draws of its own.

    Args:
        settings: with `pairs` "self-play" or "semi-policy"; `data` is the store that the winners are of.
        resume, overwrite, watch: as of `train`.

    Raises:
        UserError: as `train`; or the folder holds a self-play of other settings.
    """
    accelerator = start_processes(settings, training_dtype(settings))
    _claim(settings, resume, overwrite, accelerator.is_main_process)
    accelerator.wait_for_everyone()
    for iteration in range(1, settings.iterations + 1):
        own = _of_iteration(settings, iteration)
        if accelerator.is_main_process:
            against = own.reference_model or own.model
            console.print(
                f"{settings.pairs.capitalize()}, iteration {iteration} of {settings.iterations}: from {own.model}"
                + (f", against {against}." if settings.pairs == "semi-policy" else ".")
            )
        _make_pairs(settings, own, iteration, accelerator)
        summary = train(own, resume or overwrite, overwrite, watch)
    return summary


def _of_iteration(settings: TrainSettings, iteration: int) -> TrainSettings:
    """The settings of an iteration, which is an ordinary run on its own pairs."""
    folder, last = settings.folder, iteration == settings.iterations
    first = iteration == 1
    changed = {
        "pairs": "data",
        "iterations": 1,
        "data": str(folder / f"pairs-{iteration}"),
        "pairs_sha256": None,
        "reference_model": None,
        "reference_sha256": None,
        "out": str(folder if last else folder / f"iteration-{iteration}"),
        "seed": settings.seed if first else seed_of("iteration", settings.seed, iteration) % (MAX_SEED + 1),
    }
    if not first:
        of_run = {
            "model": str(folder / f"iteration-{iteration - 1}"),
            "model_revision": None,
            "model_sha256": None,
        }
        changed |= of_run
    if settings.pairs == "semi-policy":
        drawn = reference_of(settings.seed, iteration)
        if drawn < iteration - 1:  # not the model that it starts from
            changed["reference_model"] = str(folder / f"iteration-{drawn}") if drawn else settings.model
    return settings.model_copy(update=changed)


def reference_of(seed: int, iteration: int) -> int:
    """The model that draws the losers of an iteration of semi-policy: 0, the first, or that of an earlier iteration."""
    return int(numpy_rng("semi-policy", seed, iteration).integers(iteration))


def _make_pairs(
    settings: TrainSettings, own: TrainSettings, iteration: int, accelerator: Accelerator
) -> None:
    """Make the pairs of an iteration, every process its share."""
    model = load_for_sampling(own.reference_model or own.model, accelerator.device, training_dtype(settings))
    winners = PairStore.open(Path(settings.data or ""), model.fingerprints)
    opponent = Opponent(settings.seed, iteration, min(len(winners), settings.steps * settings.batch_size))
    store = SelfPlayStore(winners, model, opponent, Path(own.data or ""))
    if not store.is_made():
        if accelerator.is_main_process:
            store.begin()
        accelerator.wait_for_everyone()
        store.draw((accelerator.process_index + 1, accelerator.num_processes))
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            store.join()
        accelerator.wait_for_everyone()
    del store, model
    gc.collect()
    if accelerator.device.type == "cuda":
        torch.cuda.empty_cache()


def _claim(settings: TrainSettings, resume: bool, overwrite: bool, is_main: bool) -> None:
    """Note the settings of the whole; refuse a folder that holds another self-play, or another run."""
    folder, file = make_folder(settings.folder), settings.folder / WHOLE
    if not overwrite and not file.exists() and (folder / "run.yaml").exists():
        raise UserError(
            f"{folder} holds a run that is no self-play: choose another --out, or give --overwrite."
        )
    if file.exists() and not overwrite:
        if not resume:
            raise UserError(
                f"{folder} holds a self-play: add --resume to go on with it, or choose another --out."
            )
        before = read_settings(file)
        for name, value in before.model_dump(exclude=MAY_CHANGE - {"steps"}).items():
            if name != "pairs_sha256" and getattr(settings, name) != value:
                raise begun_otherwise(settings, name, value)
    if is_main:
        write_text(file, yaml.safe_dump(settings.model_dump(), sort_keys=False))
