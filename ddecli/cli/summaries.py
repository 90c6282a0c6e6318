"""What a training, its estimate or its reference's errors came to, as people read it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ddecli.core.units import duration, mebibytes

if TYPE_CHECKING:
    from ddecli.training.estimate import CostEstimate
    from ddecli.training.reference_pass import ReferencePass
    from ddecli.training.run_record import TrainSummary

Lines = list[tuple[str, str]]


def of_training(found: TrainSummary) -> Lines:
    """A run; what was not measured is left out."""
    lines = [("run", found.out), ("steps", f"{found.steps:,}")]
    if found.seconds is not None and found.pairs_per_second is not None:
        lines.append(("time", f"{duration(found.seconds)}, {found.pairs_per_second:.1f} pairs/s"))
    if found.peak_memory_mb is not None:
        lines.append(("peak memory", mebibytes(found.peak_memory_mb)))
    if found.first_loss is not None and found.last_loss is not None:
        lines.append(("loss", f"{found.first_loss:.4f} at first, {found.last_loss:.4f} at last"))
    if found.last_accuracy is not None:
        lines.append(("accuracy", f"{found.last_accuracy:.2f} of the last batch's pairs"))
    if found.holdout_accuracy is not None:
        lines.append(("held out", f"{found.holdout_accuracy:.2f} of the held-out pairs"))
    if found.alarms:
        rung = ", ".join(f"{each.name} after step {each.step}" for each in found.alarms)
        lines.append(("alarms", f"{rung}: see alarms.json"))
    return lines


def of_estimate(found: CostEstimate) -> Lines:
    """What a run would take."""
    lines = [
        ("time", f"{duration(found.hours * 3600)} for {found.steps:,} steps"),
        ("a step", f"{duration(found.seconds_per_step)}, {found.pairs_per_second:.1f} pairs/s"),
        ("at once", f"{found.micro_batch_size} pairs (--micro-batch-size)"),
        ("peak memory", mebibytes(found.peak_memory_mb)),
        (
            "of a step",
            f"{100 * found.data_share:.0f} % reading pairs, {100 * found.reference_share:.0f} % reference",
        ),
    ]
    if found.cost is not None:
        lines.insert(1, ("cost", f"{found.cost:,.2f} for these hours of this machine"))
    return [*lines, *(("advice", each) for each in found.advice)]


def of_reference(found: ReferencePass) -> Lines:
    """The reference's errors of a run."""
    return [
        ("kept in", found.kept_in),
        ("draws", f"{found.draws:,}: {found.read:,} were kept before, {found.computed:,} computed"),
        ("time", duration(found.seconds)),
    ]
