"""From pairs to a pair store: every distinct picture and every distinct prompt is encoded once.

The source comes in parts (shards, or some thousand rows). Each is encoded into a folder of its own in
`OUT.parts`, which appears whole or not at all; when all parts are there they are joined: their tensors are
renamed, not copied (unless some of them are there twice), and their tables put together. So

* a killed process loses the part it was at; the same command goes on behind the last whole part and gives
  the same store, bit for bit, with the same batch size on the same machine;
* several processes share the work: process I of N does parts I, I + N, I + 2N, ... and whoever finishes last
  joins them. They talk through the folder alone. A process without a share does all parts that are missing.
  The store is the same for any N up to rounding; a picture or prompt that occurs in the parts of several
  processes is encoded by each of them, and stored once;
* memory does not grow with the data: it holds a few batches of pictures, some hundred rows that wait for
  theirs, up to two shards of tensors a split (`shards.SHARD_BYTES` each), a row group of the parquet file that
  is read, and up to 100 MiB of index, which otherwise lies in a temporary file (some 150 bytes a picture).
  Growing with the data are the names of the parts, and of a folder without an index its file names.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ddecli.core.console import console
from ddecli.core.errors import UserError
from ddecli.core.paths import FOLDER, replaceable
from ddecli.core.picture_files import say_left_out
from ddecli.data.encoding import embed
from ddecli.data.job import Job
from ddecli.data.pairs import Pair, Rejects
from ddecli.data.parts import Encoder
from ddecli.data.relabel import Decided, Relabel
from ddecli.data.sources.base import Source, of_pairs
from ddecli.data.splits import PromptSplit
from ddecli.data.store_plan import StorePlan
from ddecli.data.summary import PrepareSummary
from ddecli.models.load import load_model
from ddecli.models.quiet import quiet_libraries

if TYPE_CHECKING:
    from ddecli.models.base import DiffusionModel


def prepare(
    pairs: Iterable[Pair],
    model: DiffusionModel,
    out: Path,
    *,
    source: str,
    rejects: Rejects | None = None,
    total: int | None = None,
    **options: Any,
) -> PrepareSummary:
    """Prepare pairs that are at hand, all or nothing: see `prepare_source`, which takes the `options`.

    Args:
        pairs: read as they are needed.
        source: what the pairs are, for the manifest.
        rejects: the collector the pairs' source reports to.
        total: rows the pairs come from, if known (for the progress bar, and to stop early).
    """
    return prepare_source(of_pairs(pairs, source, rejects, total), model, out, **options)


def prepare_with(
    model: str,
    device: torch.device,
    precision: torch.dtype,
    data: str,
    source: Source,
    out: Path,
    **options: Any,
) -> PrepareSummary:
    """Say what the data are, load a model, and prepare: see `prepare_source`, which takes the `options`.

    Args:
        model: its name.
        precision: of its autoencoder and text encoders.
        data: what the user calls the `source`.
    """
    rows = "" if source.total is None else f", {source.total:,} rows"
    console.print(f"{data}: {source.layout}{rows}")
    if source.left_out:
        console.print(f"Left out of {data}: {say_left_out(source.left_out)}.")
    with quiet_libraries():
        return prepare_source(source, load_model(model, device, precision), out, **options)


@quiet_libraries()  # long prompts are counted; the libraries would print each of them
def prepare_source(
    source: Source,
    model: DiffusionModel,
    out: Path,
    *,
    limit: int | None = None,
    max_bad: float = 0.01,
    split: PromptSplit | None = None,
    relabel: Relabel | Decided | None = None,
    batch_size: int | None = None,
    dtype: torch.dtype | None = None,
    workers: int | None = None,
    shard: tuple[int, int] = (1, 1),
    overwrite: bool = False,
) -> PrepareSummary:
    """Clean and encode pairs into a pair store at `out`, which appears whole or not at all.

    Args:
        source: the pairs, in parts.
        model: its autoencoder and text encoders are used.
        out: the store's folder; held-out pairs go to `OUT-holdout` beside it.
        limit: take only the first pairs.
        max_bad: largest share of bad rows (damaged or incomplete); ties and duplicates do not count.
        split: which prompts are held out, and which excluded; all are trained on if not given.
        relabel: scorers that decide which picture was preferred, instead of the data, or that have decided.
        batch_size: pictures encoded together; default 32 up to 256 pixels, 16 at 512, 4 at 1024.
        dtype: of stored latents and embeddings; default float32 up to 1,024 numbers a latent, else float16.
        workers: threads that read and decode pictures; default one a core, at most 16.
        shard: (I, N) does the I-th of N shares of the parts, and the join if the others are done.
        overwrite: replace a store that is already there.

    Raises:
        UserError: too many bad rows (they are listed beside `out`), no pair left, `out` taken or not
            writable, parts of other settings, a damaged source, or too little memory on the device.
    """
    began = time.monotonic()
    out = replaceable(out, FOLDER)
    if limit is not None and shard[1] > 1:
        raise UserError("--limit takes the first pairs, which one process must count: leave out --shard.")
    dtype = dtype or (torch.float32 if math.prod(model.latent_shape) <= 1024 else torch.float16)
    encoder = Encoder(
        model=model,
        dtype=dtype,
        batch_size=batch_size or max(1, min(32, 64 * 256**2 // model.resolution**2)),
        workers=workers or min(16, os.cpu_count() or 1),
        split=split or PromptSplit(),
        relabel=relabel,
        empty=embed(model, [""], dtype),
    )
    plan = StorePlan(source, encoder, out, limit, shard)
    job, work = Job(plan, max_bad), plan.work
    if not source.repeatable:
        work.remove()
    if job.is_complete(overwrite):
        return job.summary(time.monotonic() - began)
    if plan.alone:
        plan.check_outputs(overwrite)
    with work.locked(plan.alone):
        if job.is_complete(overwrite):  # by another process, which this one waited for
            work.remove()
            return job.summary(time.monotonic() - began)
        work.check_plan(plan.content, plan.alone)
        plan.check_contents()
        with _cleaned_up(job):
            plan.check_outputs(overwrite)
            job.encode()
        if not (work.is_joined or plan.is_encoded):  # other processes have parts to do
            return job.share_summary(time.monotonic() - began)
        if plan.alone:  # still locked: whoever waits finds the store whole
            _finish(job)
    if not plan.alone:
        with work.locked(alone=True):
            _finish(job)
    return job.summary(time.monotonic() - began)


def _finish(job: Job) -> None:
    """Make the store of the finished parts, unless another process was first."""
    plan, work = job.plan, job.plan.work
    if work.is_joined or plan.is_encoded:
        plan.check_contents()
        with _cleaned_up(job):
            job.join()
        job.publish()
    else:
        work.remove()


@contextlib.contextmanager
def _cleaned_up(job: Job) -> Iterator[None]:
    """After a failure, keep what helps and say so."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{error}{job.clean_up()}") from error
    except BaseException:
        job.clean_up()
        raise
