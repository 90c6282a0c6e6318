"""What a run left behind, as figures read it: metrics.jsonl and credit.npz."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np

from ddecli.core.errors import UserError, read_by_others
from ddecli.core.ledger import note
from ddecli.core.parsing import check_shape, parse_json
from ddecli.core.paths import readable_file
from ddecli.core.run_files import RUN_AGAIN, check_run
from ddecli.stats.rows import Folders, check_distinct


class StepRows(Protocol):
    """Something read from a run, with a row a step."""

    @property
    def size(self) -> int:
        """Number of steps."""


TENTHS = 10
ROUNDED = 1 + 1e-9
"""A sum of numbers of at most one may exceed their number by rounding."""
MAX_VISITS = 2**40
"""Pairs of a step that fall into a bin of timesteps: more than any batch has."""
Read = TypeVar("Read", bound=StepRows)


@dataclass(frozen=True)
class Metrics:
    """metrics.jsonl: `values` holds an array `(steps,)` a metric, NaN where a step has none."""

    name: str
    values: dict[str, np.ndarray]

    @property
    def size(self) -> int:
        """Number of steps."""
        return len(self.values["step"])


@dataclass(frozen=True)
class Credit:
    """credit.npz of a run.

    Attributes:
        edges: `(bins + 1,)` edges of the timestep bins, in fractions of T.
        weight_sum, count: `(steps, bins)` sum of `|dL/dD|` over the pairs of a step, by errors of the noise, and their
            number.
        corrections: `(steps, bins)` `C(t)` at the first timestep of each bin; None without a delayed table.
        sigmoid_sum, sigmoid_square: `(steps, bins)` sum of `sigmoid(-z)` over the same pairs, and of its square; None
            where the loss has no logit, and in runs of earlier versions.
        norm_sum, norm_weight: `(steps, bins)` sum of the norms of the pairs' gradients in the weights, of the pairs of
            which it was measured, and of the `|dL/dD|` of the same; None where it never was.
    """

    name: str
    edges: np.ndarray
    weight_sum: np.ndarray
    count: np.ndarray
    corrections: np.ndarray | None
    sigmoid_sum: np.ndarray | None = None
    norm_sum: np.ndarray | None = None
    norm_weight: np.ndarray | None = None
    sigmoid_square: np.ndarray | None = None

    @property
    def size(self) -> int:
        """Number of steps."""
        return len(self.count)

    @property
    def norms(self) -> np.ndarray | None:
        """Sum of the norms of the gradients in the weights of all pairs of a step, `(steps, bins)`.

        A pair's norm is its `|dL/dD|`, which is known of every pair, times the norm of the gradient of `D(t)`. For the
        latter stands the ratio of the two sums over the pairs that were measured, in each tenth of the trajectory and
        over all steps. None where no norm was measured in a tenth that has credit.
        """
        if self.norm_sum is None or self.norm_weight is None:
            return None
        tenth = ((self.edges[:-1] + self.edges[1:]) / 2 * TENTHS).astype(int)
        credit, norm, weight = (
            np.bincount(tenth, each.sum(axis=0), TENTHS)
            for each in (self.weight_sum, self.norm_sum, self.norm_weight)
        )
        if (weight[credit > 0] == 0).any():
            return None
        ratio = np.divide(norm, weight, out=np.zeros(TENTHS), where=weight > 0)
        return self.weight_sum * ratio[tenth]


def load_metrics(run: str | Path) -> Metrics:
    """Read a run's metrics.jsonl.

    Raises:
        UserError: it is missing, empty or damaged.
    """
    file = _file(run, "metrics.jsonl", "it is no run of `ddecli train`, or one that has not begun")
    check_run(Path(run), file.name)
    with read_by_others(f"{file} is no record of training steps", RUN_AGAIN):
        # Of a run that goes on, the last line may be half written.
        lines = [parse_json(line) for line in readable_file(file).read_bytes().split(b"\n")[:-1]]
        check_shape(lines, list[dict[str, float | None]])
        values = {name: np.array([line[name] for line in lines], dtype=float) for name in lines[0]}
        if not {"step", "loss"} <= set(values):
            raise ValueError("it has no step and loss")
    note(file)
    return Metrics(str(run), values)


def load_credit(run: str | Path) -> Credit:
    """Read a run's credit.npz.

    Raises:
        UserError: it is missing or damaged.
    """
    file = _file(run, "credit.npz", "it is written when training ends: go on with `ddecli train --resume`")
    check_run(Path(run), file.name)
    with read_by_others(f"{file} is no credit map", RUN_AGAIN), np.load(readable_file(file)) as arrays:
        edges, corrections = arrays["bin_edges"], arrays.get("corrections")
        weight_sum, count = arrays["gradient_weight_sum"], arrays["count"]
        sigmoid_sum, sigmoid_square = arrays.get("sigmoid_sum"), arrays.get("sigmoid_square_sum")
        norm_sum, norm_weight = arrays.get("gradient_norm_sum"), arrays.get("gradient_norm_weight_sum")
        if (norm_sum is None) != (norm_weight is None):
            raise ValueError("it has norms of gradients without the weights of their pairs, or these alone")
        if (sigmoid_sum is None) != (sigmoid_square is None):
            raise ValueError("it has sigmoids without their squares, or these alone")
        given = (corrections, sigmoid_sum, sigmoid_square, norm_sum, norm_weight)
        optional = [each for each in given if each is not None]
        maps = [weight_sum, count, *optional]
        if not all(each.shape == (len(count), len(edges) - 1) for each in maps):
            raise ValueError("its arrays do not fit together")
        bounds = [(weight_sum, 0, np.inf), (count, 0, MAX_VISITS)]
        if sigmoid_sum is not None:
            bounds += [(sigmoid_sum, 0, count * ROUNDED), (sigmoid_square, 0, sigmoid_sum * ROUNDED)]
        bounds += [] if norm_sum is None else [(norm_sum, 0, np.inf), (norm_weight, 0, np.inf)]
        if not count.any() or not all(((low <= each) & (each <= high)).all() for each, low, high in bounds):
            raise ValueError("it holds what is no number of visits or weight")
        if not all(np.isfinite(each).all() for each in (edges, *maps, weight_sum.sum())):
            raise ValueError("it holds what is no finite number")
        if not (edges[-1] > 0 and (np.diff(edges) > 0).all()):
            raise ValueError("its bins do not follow one another")
    note(file)
    return Credit(
        str(run),
        edges / edges[-1],
        weight_sum,
        count,
        corrections,
        sigmoid_sum,
        norm_sum,
        norm_weight,
        sigmoid_square,
    )


def load_runs(folders: Folders, read: Callable[[str | Path], Read]) -> dict[str, list[Read]]:
    """Read every label's runs, one for each training seed.

    Raises:
        UserError: as `read`, a run given twice for a label, or seeds of one label with unequal numbers of steps.
    """
    check_distinct(folders)
    runs = {label: [read(folder) for folder in given] for label, given in folders.items()}
    for label, given in runs.items():
        sizes = [run.size for run in given]
        if len(set(sizes)) > 1:
            raise UserError(
                f"{label} holds runs of {min(sizes)} and of {max(sizes)} steps: training seeds of one label "
                "must differ by their seed only."
            )
    return runs


def shared_edges(runs: Mapping[str, Sequence[Credit]]) -> np.ndarray:
    """The edges of the timestep bins of all runs, `(bins + 1,)`.

    Raises:
        UserError: they differ.
    """
    first, *others = (run for given in runs.values() for run in given)
    for run in others:
        if not np.array_equal(run.edges, first.edges):
            raise UserError(
                f"{run.name} and {first.name} have different timestep bins: their models differ in T."
            )
    return first.edges


def _file(run: str | Path, name: str, why: str) -> Path:
    if not Path(run).is_dir():
        raise UserError(f"{run} does not exist: give the folder of a run.")
    file = Path(run) / name
    if not file.exists():
        raise UserError(f"{run} has no {name}: {why}.")
    return file
