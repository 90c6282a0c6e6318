"""`--micro-batch-size auto`: the most pairs a forward pass that fit the memory, found by trying before the first step.

A trial is what a step does with a micro-batch, with all that is held beside it: both models, gradients, and the state
of the optimizer. It changes nothing that a run depends on. Sizes are doubled until one does not fit, on any process;
each divides the share of a batch that a process has, so that all micro-batches of a run are alike.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from ddecli.core.console import console
from ddecli.core.errors import UserError
from ddecli.training.opened import Opened

MOST = {"cuda": 64, "cpu": 8}
"""By device. More is hardly faster: 64 pairs are 128 pictures in one pass, and a processor is busy with a few."""
MARGIN = 0.9
"""Share of the memory that a trial may take: later steps find it in other pieces, and other programs come and go."""
LESS_MEMORY = "--gradient-checkpointing, --lora 16 or --precision bfloat16 take less"


def sizes(share: int, most: int) -> list[int]:
    """Those that are tried: divisors of a process's share of a batch, each at least twice the one before."""
    found = [1]
    for size in range(2, min(share, most) + 1):
        if share % size == 0 and size >= 2 * found[-1]:
            found.append(size)
    return found


def measured_micro_batch_size(trainer: Opened) -> int:
    """The largest size that fits on every process. Every process has to call it; all get the same.

    Raises:
        UserError: not one pair does.
    """
    device, largest = trainer.accelerator.device, 0
    # With FSDP a process that runs out within a pass would leave the others waiting for its shards.
    if trainer.is_sharded or device.type not in _MEMORIES:
        where = "with FSDP" if trainer.is_sharded else f"on {device}"
        _say(
            trainer, f"micro-batch size 1: {where} none is tried; give --micro-batch-size a number for more."
        )
        return 1
    memory = _MEMORIES[device.type](device)
    with _optimizer_state(trainer), torch.compiler.set_stance("force_eager"):
        memory.begin()
        for size in sizes(trainer.share, MOST[device.type]):
            if not _fits(trainer, memory, size):
                break
            largest = size
    if not largest:
        raise UserError(
            f"A pair does not fit the memory of {device} ({memory.room / 2**30:.1f} GiB for it): {LESS_MEMORY}, or end "
            "what else takes memory there."
        )
    _say(trainer, f"micro-batch size {largest}: the largest that fits the memory, of those that were tried.")
    return largest


def _say(trainer: Opened, text: str) -> None:
    if trainer.is_main:
        console.print(text, highlight=False)


def _fits(trainer: Opened, memory: _Memory, size: int) -> bool:
    """Whether a micro-batch of this size fits on every process."""
    fits = memory.may_try(size)
    if fits:
        try:
            _pass(trainer, size)
        except torch.OutOfMemoryError:
            fits = False
        fits = fits and memory.taken(size) <= MARGIN * memory.room
    trainer.optimizer.zero_grad(set_to_none=True)
    gc.collect()  # an error holds what was computed until then
    memory.release()
    on_all = trainer.accelerator.gather(torch.tensor([fits], device=trainer.accelerator.device))
    return bool(on_all.all())


def _pass(trainer: Opened, size: int) -> None:
    """What a step does with its first micro-batch. Processes do not wait for each other in it."""
    first = trainer.share * trainer.accelerator.process_index
    with trainer.sync(is_last=False):
        trainer.accelerator.backward(trainer.loss_of(trainer.batches(range(first, first + size))))


@contextlib.contextmanager
def _optimizer_state(trainer: Opened) -> Iterator[None]:
    """Within the block the optimizer holds the state that it will have from the first step on; nothing is learned."""
    optimizer: Any = getattr(trainer.optimizer, "optimizer", trainer.optimizer)  # not accelerate's: it scales
    rates = [group["lr"] for group in optimizer.param_groups]
    for parameter in trainer.parameters.values():
        parameter.grad = torch.zeros_like(parameter)
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    try:
        optimizer.step()
        yield
    finally:
        optimizer.zero_grad(set_to_none=True)
        optimizer.state.clear()
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate


class _Memory:
    """The memory of a GPU. Bytes.

    Attributes:
        room: for all that this process holds.
    """

    room = 0

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def begin(self) -> None:
        """Look at what there is."""
        self.release()
        self.room = torch.cuda.mem_get_info(self.device)[0] + torch.cuda.memory_reserved(self.device)

    def may_try(self, size: int) -> bool:
        """Whether a trial can do no harm: one that does not fit ends in an error."""
        return True

    def taken(self, size: int) -> int:
        """What was held at most, since the last trial."""
        return torch.cuda.max_memory_allocated(self.device)

    def release(self) -> None:
        """Give back what a trial took, and forget what was held."""
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(self.device)


class _MainMemory(_Memory):
    """The memory of a machine, where what does not fit ends the process: what a trial would take is told ahead."""

    _held = _a_pair = 0

    def begin(self) -> None:
        self.release()
        self._held = _status("VmRSS")
        self.room = self._held + _available()

    def may_try(self, size: int) -> bool:
        return self._held + size * self._a_pair <= MARGIN * self.room

    def taken(self, size: int) -> int:
        most = _status("VmHWM")
        self._a_pair = max(0, most - self._held) // size
        return most

    def release(self) -> None:
        with contextlib.suppress(OSError):  # where it may not be reset, too much is told
            Path("/proc/self/clear_refs").write_text("5")


_MEMORIES = {"cuda": _Memory, "cpu": _MainMemory}


def _status(name: str) -> int:
    return _kibibytes(Path("/proc/self/status"), name)


def _available() -> int:
    """Of the machine, or of the container that this process runs in."""
    found = _kibibytes(Path("/proc/meminfo"), "MemAvailable")
    with contextlib.suppress(OSError, ValueError):
        group = Path("/sys/fs/cgroup")
        limit, used = (int((group / f"memory.{name}").read_text()) for name in ("max", "current"))
        found = min(found, max(0, limit - used))
    return found


def _kibibytes(file: Path, name: str) -> int:
    lines = dict(line.split(":", 1) for line in file.read_text().splitlines())
    return 1024 * int(lines[name].split()[0])
